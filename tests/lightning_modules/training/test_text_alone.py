"""Records without a clip are learnt from beside clips, whichever process gets them."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.lightning_modules.short_run import REAL_CLIPS_BY_CLIP
from tests.lightning_modules.two_ranks import run_two

VIDEOS = Path("tests/data/videos")
SETTINGS = (*REAL_CLIPS_BY_CLIP, "--name=text")


def turns(question, answer):
    return {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]}


@pytest.fixture
def mixed(tmp_path):
    """Two clips and four conversations without one: of three batches of two, at least one is text alone."""
    media = tmp_path / "media"
    media.mkdir()
    for name in ("toy_rabbit320.mp4", "bottle_detection.mp4"):
        shutil.copyfile(VIDEOS / name, media / name)
    records = [{"id": name, "video": name, **turns("<video>\nWhat is it?", f"It is {name}")}
               for name in ("toy_rabbit320.mp4", "bottle_detection.mp4")]  # fmt: skip
    records += [{"id": f"text {n}", **turns(f"What is {n} and {n}?", f"It is {2 * n}. " * (n + 1))} for n in range(4)]
    file = tmp_path / "records.json"
    file.write_text(json.dumps(records))
    return [*(f"--data.{split}={file}" for split in ("train", "val", "test")), f"--data.media_root={media}"]


def column(folder, name):
    with (folder / "metrics.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


@pytest.mark.long
def test_two_processes_learn_the_same_as_one_though_one_has_text_alone(run, mixed, tmp_path):
    alone = run("fit", *SETTINGS, *mixed, "--data.batch_size=2", tiny=False)
    runs = tmp_path / "two"
    status, _ = run_two("fit", *SETTINGS, *mixed, "--data.batch_size=1", "--trainer.strategy=ddp", f"--runs={runs}")
    assert status == [0, 0]
    for name in ("train/text_loss", "train/loss"):
        one, two = column(alone.folder, name), column(runs / "text" / "seed_0", name)
        assert len(one) == 6
        assert two == pytest.approx(one, rel=1e-4)
    one, two = (column(folder, "train/distillation_loss") for folder in (alone.folder, runs / "text" / "seed_0"))
    # A step of text alone has none: one process shows the last value again then, two show 0.
    compared = list(dict.fromkeys(one))
    assert 2 <= len(compared) <= 4
    assert len(two) == 6 and [value for value in two if value] == pytest.approx(compared, rel=1e-4)


def test_a_batch_of_text_alone_moves_the_language_model_and_gives_the_encoder_no_gradient(run, mixed, monkeypatch):
    from lightning_modules.video_language import VideoLanguageModel

    seen = []

    def step(self, batch, batch_idx):
        loss = original(self, batch, batch_idx)
        parts = {"encoder": self.encoder, "distillation": self.distillation, "language_model": self.language_model}
        of = {name: list(part.parameters()) for name, part in parts.items()}
        flat = [parameter for part in of.values() for parameter in part if parameter.requires_grad]
        gradients = dict(zip(map(id, flat), torch.autograd.grad(loss, flat, retain_graph=True), strict=True))
        largest = {name: max(float(gradients[id(p)].abs().max()) for p in part if p.requires_grad)
                   for name, part in of.items()}  # fmt: skip
        seen.append((batch.has_real_clips, [sample.video for sample in batch.samples], largest))
        return loss

    original = VideoLanguageModel.training_step
    monkeypatch.setattr(VideoLanguageModel, "training_step", step)
    run("fit", *SETTINGS, *mixed, "--data.batch_size=2", tiny=False)
    assert {counted for counted, _, _ in seen} == {True, False}
    for counted, videos, largest in seen:
        assert counted == any(videos)
        assert largest["language_model"] > 0
        assert (largest["encoder"] > 0) == (largest["distillation"] > 0) == counted


@pytest.mark.long
def test_questions_without_a_clip_are_asked_and_answered(run, mixed):
    cli = run("test", *SETTINGS, *mixed, "--data.eval_batch_size=4", tiny=False)
    rows = [json.loads(line) for line in (cli.folder / "answers" / "test.jsonl").read_text().splitlines()]
    assert sorted(row["id"] for row in rows if not row["video"]) == [f"text {n}/0" for n in range(4)]
    assert len(rows) == 6
    alone = run("test", *SETTINGS, *mixed, "--data.eval_batch_size=1", tiny=False)
    single = [json.loads(line) for line in (alone.folder / "answers" / "test.jsonl").read_text().splitlines()]
    by_id = {row["id"]: row["prediction"] for row in rows}
    assert {row["id"]: row["prediction"] for row in single} == by_id


@pytest.mark.long
def test_without_any_clip_the_encoder_has_nothing_to_take_part_with(run, mixed, tmp_path):
    file = tmp_path / "text.json"
    file.write_text(json.dumps([turns("A?", "B."), turns("C?", "D.")]))
    splits = [f"--data.{split}={file}" for split in ("train", "val", "test")]
    with pytest.raises(ValueError, match="none of the 2 samples of train has a clip that can be read; it needs one"):
        run("fit", *SETTINGS, *splits, mixed[-1], "--data.batch_size=2", tiny=False)


def test_a_validation_shows_questions_without_a_clip_in_its_table(run, mixed):
    cli = run("validate", *SETTINGS, *mixed, "--data.eval_batch_size=4", "--trainer.limit_val_batches=1.0", tiny=False)
    assert cli.trainer.callback_metrics["val/loss"] > 0
