"""A disk that fills while a run is at work, and what loader processes fail by: one line that says where."""

import errno
import logging
import os

import pytest
from safetensors.torch import save_file
from torch import zeros
from torch.utils.tensorboard import SummaryWriter

from components.official.folder import FolderError, new_folder
from components.positive import check_positive
from datamodules.checking.check import check
from datamodules.clip_dataset import ClipDataset
from datamodules.processes import submit_uninterrupted, worker_pool
from lightning_modules.cli import main
from lightning_modules.config.user_errors import errors_of_threads, user_errors, writing_into
from tests.datamodules.written_clips import write_clip
from tests.lightning_modules.conftest import SMALL_STEP, TINY


@pytest.fixture
def short_run(clips, tmp_path):
    """The words of a run of one step."""
    size = ["--config=experiments/no_lste.yaml", f"--data.root={clips}", *TINY, *SMALL_STEP]
    return ["fit", *size, "--trainer.max_steps=1", "--test_after_fit=false", f"--runs={tmp_path / 'runs'}"]


@pytest.mark.long
@pytest.mark.parametrize("size", [0, 2000, 20_000])
def test_a_disk_that_fills_during_a_run_is_one_line_that_names_the_file_or_its_folder(
    size, short_run, tmp_path, files_end_at, capsys, caplog
):
    caplog.set_level(logging.ERROR, "lightning.fabric")  # whose handler writes to a file of these tests
    main([*short_run, "--trainer.fast_dev_run=true"])  # clips are there, and nothing else
    capsys.readouterr()
    with files_end_at(size), pytest.raises(SystemExit, match="1"):
        main(short_run)
    error = capsys.readouterr().err  # of threads too
    assert "Traceback" not in error
    assert error.count("error: ") == 1 and f"{tmp_path / 'runs'}" in error.rpartition("error: ")[2]


def test_what_a_thread_cannot_write_is_raised_and_not_printed(tmp_path, files_end_at, capfd):
    with pytest.raises(OSError, match="File too large") as caught, writing_into(tmp_path), errors_of_threads():
        writer = SummaryWriter(tmp_path, flush_secs=0)
        with files_end_at(200):
            for step in range(3):
                try:
                    writer.add_scalar("a", step, step)
                    writer.flush()
                except OSError:
                    break
    assert caught.value.filename == str(tmp_path) and "Traceback" not in capfd.readouterr().err


def test_tensors_that_cannot_be_written_are_said_in_the_words_of_the_system(tmp_path, files_end_at):
    with pytest.raises(FolderError) as caught, files_end_at(100), new_folder(tmp_path / "out") as folder:
        save_file({"a": zeros(1000)}, folder / "a.safetensors")
    assert str(caught.value) == f"{tmp_path / 'out'} cannot be written: File too large"


def test_a_manifest_that_cannot_be_written_is_named_and_the_earlier_one_stays(tmp_path, files_end_at):
    clips = {f"{number}.mp4": write_clip(tmp_path / f"{number}.mp4", frames=4) for number in range(2)}
    check(clips, tmp_path / "checked", 4, 1)
    manifest = tmp_path / "checked" / "manifest.jsonl"
    before = manifest.read_bytes()
    with files_end_at(len(before) - 1), pytest.raises(OSError, match="File too large") as caught:
        check(clips, tmp_path / "checked", 4, 1)
    assert caught.value.filename == str(manifest) and manifest.read_bytes() == before
    assert [file.name for file in manifest.parent.iterdir()] == [manifest.name]


def refused(*_):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "clips/a.mp4")


def wrong(*_):
    check_positive("data", frames=-1)


@pytest.mark.parametrize(
    ("fault", "message"), [(refused, "error: clips/a.mp4: Permission denied"), (wrong, "error: data.frames is -1")]
)
def test_what_a_loader_process_fails_by_is_the_line_that_it_is_elsewhere(fault, message, short_run, fails, monkeypatch):
    monkeypatch.setattr(ClipDataset, "_views", fault)
    status, error = fails(*short_run, "--data.workers=1")
    assert status == 1 and error.splitlines()[-1].startswith(message) and "worker" not in error


def test_a_loader_process_that_cannot_be_made_is_a_line(short_run, fails, monkeypatch):
    def none_left():
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", none_left)
    status, error = fails(*short_run, "--data.workers=1")
    assert status == 1 and error.splitlines()[-1] == "error: resource temporarily unavailable"


def test_what_a_process_of_a_pool_fails_by_is_a_line_too(capsys):
    with pytest.raises(SystemExit, match="1"), user_errors(), worker_pool(1) as pool:
        submit_uninterrupted(pool, check_positive, "data", frames=-1).result()
    assert capsys.readouterr().err == "error: data.frames is -1; it must be a positive number\n"
