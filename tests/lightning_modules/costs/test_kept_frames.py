"""A training whose frames come from disk is the same training, and opens no clip."""

import pytest

from datamodules.checking import media_facts
from lightning_modules.resolve import resolve_files
from tests.lightning_modules.short_run import NO_LSTE, SHORT, losses


def refuse(*arguments):
    raise AssertionError(f"{arguments[0]} was opened")


@pytest.mark.long
@pytest.mark.parametrize("workers", [0, 2])
def test_losses_are_the_same_without_cache_while_it_is_filled_and_from_it(run, tmp_path, monkeypatch, workers):
    rest = (*NO_LSTE, *SHORT, f"--data.workers={workers}")
    on_disk = (*rest, "--data.frame_cache=DiskFrameCache", f"--data.frame_cache.folder={tmp_path / 'kept'}")
    plain = losses(run("fit", *rest, "--data.frame_cache=NoCache").folder)
    filling = losses(run("fit", *on_disk).folder)
    monkeypatch.setattr(media_facts, "open_video", refuse)
    reading = losses(run("fit", *on_disk).folder)
    assert len(plain) == 4 and plain == filling == reading


def test_without_what_was_kept_the_clips_are_opened(run, tmp_path, monkeypatch):
    monkeypatch.setattr(media_facts, "open_video", refuse)
    with pytest.raises(AssertionError, match="was opened"):
        run("fit", *NO_LSTE, *SHORT, "--data.frame_cache=DiskFrameCache", f"--data.frame_cache.folder={tmp_path}")


@pytest.mark.parametrize("config", ["experiments/full.yaml", "configs/data/real_clips.yaml"])
def test_the_flag_alone_gives_the_bound_of_the_disk_and_not_that_of_the_memory(config):
    files = ["experiments/full.yaml", *([] if config == "experiments/full.yaml" else [config])]
    cache = resolve_files(files, ["--data.frame_cache=DiskFrameCache"]).data_module().frame_cache
    assert (cache.disk_gib, str(cache.folder)) == (32.0, "data/kept_frames")
