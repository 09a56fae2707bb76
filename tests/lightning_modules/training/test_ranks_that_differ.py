"""What happens to one of several processes does not stop the others, nor let them wait for ever."""

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch

from tests.lightning_modules.short_run import NO_LSTE, REAL_CLIPS_BY_CLIP, SHORT, losses
from tests.lightning_modules.two_ranks import assert_joined_statistics, note_statistics, run_two, signal_itself

VIDEOS = Path("tests/data/videos")
SETTINGS = (*REAL_CLIPS_BY_CLIP, "--name=skipping")


@pytest.fixture
def half_broken(tmp_path):
    """Four clips, of which two cannot be read: one process is left without any in some steps."""
    media = tmp_path / "media"
    media.mkdir()
    clips = {"a.mp4": "toy_rabbit320.mp4", "b.mp4": "hard/not_a_video.mp4", "c.mp4": "hard/truncated_no_moov.mp4",
             "d.mp4": "bottle_detection.mp4"}  # fmt: skip
    for name, source in clips.items():
        shutil.copyfile(VIDEOS / source, media / name)
    records = [
        {"id": name, "video": name, "conversations": [{"from": "human", "value": "<video>\nWhat is it?"},
                                                      {"from": "gpt", "value": f"It is {name} " * (2 + number)}]}
        for number, name in enumerate(clips)
    ]  # fmt: skip
    file = tmp_path / "records.json"
    file.write_text(json.dumps(records))
    splits = [f"--data.{split}={file}" for split in ("train", "val", "test")]
    return [*splits, f"--data.media_root={media}", "--data.bad_media=SkipBadMedia", "--data.bad_media.max_share=0.5"]


@pytest.mark.long
def test_a_process_without_a_readable_clip_takes_part_and_counts_nothing(run, half_broken, tmp_path):
    alone = run("fit", *SETTINGS, *half_broken, "--data.batch_size=2", tiny=False)
    runs = tmp_path / "two"
    status, _ = run_two("fit", *SETTINGS, *half_broken, "--data.batch_size=1", "--trainer.strategy=ddp",
                           f"--runs={runs}")  # fmt: skip
    assert status == [0, 0]
    together = losses(runs / "skipping" / "seed_0")
    assert len(together) == 4
    assert [float(loss) for loss in together] == pytest.approx([float(loss) for loss in losses(alone.folder)], rel=1e-4)


@pytest.mark.long
def test_figures_are_those_of_one_process_where_another_has_no_question(run, half_broken, tmp_path):
    """In a validation by clips one by one, each process meets one that is left out, and only one of them another."""
    records = json.loads((tmp_path / "records.json").read_text())
    for name, ids in {"train": "ad", "val": "abc", "one": "a"}.items():
        chosen = [record for record in records if record["id"][0] in ids]
        (tmp_path / f"{name}.json").write_text(json.dumps(chosen))
    settings = [argument for argument in SETTINGS if "limit_val_batches" not in argument]
    status, _ = run_two("fit", *settings, *half_broken, f"--data.train={tmp_path / 'train.json'}",
                        f"--data.val={tmp_path / 'val.json'}", "--data.bad_media.max_share=0.7", "--data.batch_size=1",
                        "--data.eval_batch_size=1", "--trainer.check_val_every_n_epoch=1", "--trainer.max_epochs=1",
                        "--trainer.strategy=ddp", note_statistics(tmp_path), f"--runs={tmp_path / 'two'}")  # fmt: skip
    assert status == [0, 0]
    folder = tmp_path / "two/skipping/seed_0"
    last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert_joined_statistics(tmp_path, last["state_dict"])  # each process has learnt from another clip
    figures = json.loads((folder / "summary.json").read_text(), parse_constant=pytest.fail)["figures"]
    assert figures["data/skipped_clips"] == 2
    one = run("validate", *settings, *half_broken, f"--data.val={tmp_path / 'one.json'}", "--trainer.devices=1",
              f"--ckpt_path={folder / 'checkpoints' / 'last.ckpt'}", tiny=False)  # fmt: skip
    assert figures["val/loss"] == pytest.approx(one.summary.figures["val/loss"], rel=1e-5)


@pytest.mark.long
def test_sigterm_to_one_process_and_its_loaders_saves_what_one_device_goes_on_with(run, tiny, tmp_path):
    settings = (*NO_LSTE, *SHORT, "--model.stage.global_batch=2", "--model.encoder.dropout=0")
    whole = run("fit", *settings)
    stop = signal_itself(tmp_path, rank=1, step=1, number=signal.SIGTERM.value)
    rest = [argument for argument in tiny if not argument.startswith("--data.batch_size")]
    status, output = run_two("fit", *settings, stop, "--name=no_lste", "--trainer.strategy=ddp", "--data.batch_size=1",
                           "--data.workers=1", *rest, f"--runs={tmp_path / 'two'}")  # fmt: skip
    assert status == [1, 1]
    assert "interrupted after step 1; continue with" in output[0] and "Traceback" not in output[1]
    folder = tmp_path / "two" / "no_lste" / "seed_0"
    run("fit", *settings, f"--ckpt_path={folder / 'checkpoints' / 'interrupted.ckpt'}")
    step_losses = losses(folder, "metrics.1.csv") + losses(folder)
    assert [float(loss) for loss in step_losses] == pytest.approx(
        [float(loss) for loss in losses(whole.folder)], rel=1e-4
    )
