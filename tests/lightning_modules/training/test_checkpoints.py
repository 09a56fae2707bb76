"""Which checkpoint is used, what is refused of one, and that there is always a whole one on the disk."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from components.files import whole_file, write_whole
from lightning_modules.training.checkpoint import (
    CheckpointError,
    WholeFileIO,
    check_checkpoint,
    named_checkpoint,
    read_checkpoint,
)
from tests.lightning_modules.short_run import NO_LSTE, SHORT

ONE_STEP = (*NO_LSTE, "--trainer.max_steps=1", "--test_after_fit=false", "--trainer.limit_val_batches=0")


@pytest.mark.long
def test_last_is_the_newest_checkpoint_of_experiment_and_seed(run, fails, finished, tiny, tmp_path, capsys):
    runs = finished.folder.parent.parent
    expected = run("test", *NO_LSTE, f"--ckpt_path={finished.folder / 'checkpoints' / 'last.ckpt'}")
    capsys.readouterr()
    tested = run("test", *NO_LSTE, "--ckpt_path=last")
    assert f"ckpt_path last is {finished.folder / 'checkpoints' / 'last.ckpt'}\n" in capsys.readouterr().out
    assert tested.summary.figures == expected.summary.figures
    # A training goes on in its folder.
    longer = run("fit", *NO_LSTE, *SHORT, "--trainer.max_epochs=3", "--test_after_fit=false", "--ckpt_path=last")
    assert longer.folder == finished.folder and longer.trainer.global_step == 6
    # Of another seed there is none, and other keywords name none.
    for flags, message in (
        (["--ckpt_path=last", "--seed_everything=1"], f"no run in {runs / 'no_lste'} with seed 1 has a checkpoint"),
        (["--ckpt_path=best"], f"ckpt_path is best; here it is a path, such as {finished.folder}"),
        (["--ckpt_path=hpc"], "ckpt_path is hpc; here it is a path"),
        (["--ckpt_path=registry:model"], "ckpt_path is registry:model; here it is a path"),
    ):
        status, error = fails("test", *NO_LSTE, *tiny, *flags, f"--runs={runs}")
        assert status == 1 and message in error and len(error.strip().splitlines()) == 1


def test_of_several_checkpoints_the_newest_counts(tmp_path):
    places = ("seed_0/last", "seed_0.2/last", "seed_0.2/interrupted", "seed_01/last")
    files = [tmp_path / seed / "checkpoints" / f"{name}.ckpt" for seed, name in (place.split("/") for place in places)]
    for number, file in enumerate(files):
        write_whole(file, b"")
        os.utime(file, (number, number))
    assert named_checkpoint("last", tmp_path, 0) == files[2]
    os.utime(files[0], (9, 9))
    assert named_checkpoint("last", tmp_path, 0) == files[0]


@pytest.mark.long
def test_scores_of_random_weights_say_so(run, finished, capsys):
    random = run("test", *NO_LSTE)
    line = "random weights, of no training: encoder, projector"
    assert line in capsys.readouterr().out
    assert json.loads((random.folder / "answers" / "test_scores.json").read_text())["provenance"]["weights"] == [line]
    trained = run("test", *NO_LSTE, f"--init_from={finished.folder / 'checkpoints' / 'last.ckpt'}")
    weights = json.loads((trained.folder / "answers" / "test_scores.json").read_text())["provenance"]["weights"]
    assert "random weights" not in capsys.readouterr().out and not any("random weights" in line for line in weights)


def damaged(content, **changes):
    return {**content, **changes}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state_dict": []}, "state_dict is list"),
        ({"state_dict": {"encoder.x": 3}}, "state_dict has 'encoder.x'"),
        ({"components": None}, "components is NoneType"),
        ({"components": {"encoder": None}}, "components has 'encoder'"),
        ({"frozen_base": {"language_model": 1}}, "frozen_base has 'language_model'"),
        (
            {"frozen_base": {"language_model": {"source": "a", "fingerprint": "b"}}},
            "model has no tensors that is",
        ),
        ({"frozen_base": {"a": {"source": "a", "fingerprint": "b", "tensors": [1]}}}, "a has no tensors that is list"),
        ({"frozen_base": {"a": {"source": None, "fingerprint": "b", "tensors": []}}}, "a has no source that is str"),
        ({"random_state": {"cpu": [1]}}, "random_state has 'cpu'"),
        ({"loops": {"fit_loop": {}}}, "loops has no validate_loop"),
        ({"optimizer_states": [{"state": {}}]}, "optimizer_states.0 has no state and param_groups"),
        ({"global_step": "many"}, "global_step is str"),
        ({"epoch": True}, "epoch is bool"),
        ({"loops": 0}, "loops is int"),
        ({"optimizer_states": {}}, "optimizer_states is dict"),
        ({"state_dict": {"a": torch.tensor([1.0, float("nan")])}}, "a has NaN or infinite values"),
        ({"state_dict": {"a": torch.tensor([1.0, float("-inf")], dtype=torch.bfloat16)}}, "a has NaN or infinite"),
    ],
)
def test_entries_that_no_checkpoint_has_are_refused(tmp_path, change, message):
    whole = {"state_dict": {"a": torch.ones(2)}, "components": {"encoder": "STAB"}, "global_step": 1, "epoch": 0}
    torch.save(whole, tmp_path / "last.ckpt")
    check_checkpoint(tmp_path / "last.ckpt")
    torch.save(damaged(whole, **change), tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match=r"ckpt_path .*last\.ckpt") as caught:
        check_checkpoint(tmp_path / "last.ckpt")
    assert message in str(caught.value)


@pytest.mark.long
def test_a_training_goes_on_from_a_whole_state_alone(run, fails, finished, tiny, tmp_path):
    file = finished.folder / "checkpoints" / "last.ckpt"
    content = torch.load(file, weights_only=True)
    command = [*NO_LSTE, *SHORT, *tiny, f"--runs={tmp_path / 'runs'}"]
    status, error = fails("fit", *command, f"--ckpt_path={file}", "--model.stage.encoder=0")
    assert status == 1 and "is of a training of encoder (" in error and "model.stage trains projector (" in error
    config = (finished.folder / "config.yaml").read_bytes()
    bad = file.with_name("bad.ckpt")
    moments, groups = (content["optimizer_states"][0][key] for key in ("state", "param_groups"))
    for damage, message in (
        (lambda: moments[3]["exp_avg_sq"].fill_(float("nan")), "optimizer_states.0.state.3.exp_avg_sq has NaN"),
        (lambda: (moments.clear(), groups[0].update(lr=float("inf"))), "param_groups.0.lr has NaN"),
        (lambda: content.pop("optimizer_states"), "has no optimizer_states, so no run goes on from it"),
    ):
        damage()
        torch.save(content, bad)
        status, error = fails("fit", *command, f"--ckpt_path={bad}")
        assert status == 1 and message in error and f"ckpt_path {bad}" in error and len(error.strip().splitlines()) == 1
        assert "init_from takes its weights" in error
    assert (finished.folder / "config.yaml").read_bytes() == config, "refused before anything is written"
    # Its weights are those of the run: a test takes them, and so does another training.
    assert run("test", *NO_LSTE, f"--ckpt_path={bad}").summary.figures
    run("fit", *ONE_STEP, f"--init_from={bad}")
    del content["pytorch-lightning_version"]
    torch.save(content, bad)
    status, error = fails("test", *command[:2], *tiny, f"--runs={tmp_path / 'runs'}", f"--ckpt_path={bad}")
    assert status == 1 and "has no pytorch-lightning_version" in error


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_flipped_bit_is_found(tmp_path, place):
    """The zip that a checkpoint is has a checksum of each part, which torch does not look at."""
    file = tmp_path / "last.ckpt"
    torch.save({"state_dict": {"a": torch.randn(5000)}, "components": {}}, file)
    content = bytearray(file.read_bytes())
    content[int(len(content) * place)] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"last\.ckpt is (damaged: the checksum|not a checkpoint)"):
        check_checkpoint(file)


def test_the_earlier_checkpoint_stays_until_the_next_is_whole(tmp_path, files_end_at):
    file, earlier = tmp_path / "checkpoints" / "last.ckpt", {"step": 1}
    WholeFileIO().save_checkpoint(earlier, file)
    umask = os.umask(0)
    os.umask(umask)
    assert file.stat().st_mode & 0o777 == 0o666 & ~umask
    with files_end_at(10_000), pytest.raises(OSError, match="File too large") as caught:
        WholeFileIO().save_checkpoint({"weights": torch.randn(100_000)}, file)
    assert str(tmp_path) in str(caught.value.filename)
    assert torch.load(file, weights_only=True) == earlier and list(file.parent.iterdir()) == [file]


def test_what_a_kill_left_is_cleaned_up(run, finished):
    checkpoints = finished.folder / "checkpoints"
    left = checkpoints / ".last.ckpt.0123abcd.unfinished"
    shutil.copyfile(checkpoints / "last.ckpt", left)
    run("fit", *NO_LSTE, *SHORT, "--trainer.max_epochs=3", "--test_after_fit=false", "--ckpt_path=last")
    assert [file.name for file in checkpoints.iterdir()] == ["last.ckpt"]


def test_trainings_write_beside_the_target(run, monkeypatch):
    """Not into the folder for temporary files, which may be another file system, or small."""
    written, save = [], torch.save
    monkeypatch.setattr(torch, "save", lambda content, file: (written.append(file.name), save(content, file)))
    cli = run("fit", *ONE_STEP)
    assert {Path(file).parent for file in written} == {cli.folder / "checkpoints"}
    assert all(Path(file).name.startswith(".last.ckpt.") for file in written)
    assert [file.name for file in (cli.folder / "checkpoints").iterdir()] == ["last.ckpt"]


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    write_whole(tmp_path / "file", "old")
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "file") as unfinished:
        unfinished.write_text("half")
        raise KeyboardInterrupt
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_a_file_that_is_cut_off_is_named_wherever_it_ends(tmp_path):
    whole, cut = tmp_path / "whole.ckpt", tmp_path / "cut.ckpt"
    torch.save({"state_dict": {str(n): torch.ones(64, 64) for n in range(90)}, "components": {}}, whole)
    content, reasons = whole.read_bytes(), set()
    for length in range(1, len(content), len(content) // 300):
        cut.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=f"ckpt_path {cut} is not a checkpoint: ") as error:
            read_checkpoint(cut, "ckpt_path")
        reasons.add(str(error.value).rpartition(": ")[2])
    assert "[Errno 22] Invalid argument" in reasons  # what torch's reader makes of some lengths
