"""Pictures and clips, some of them broken: a training sees and answers the same with a manifest as without."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from lightning import Callback
from PIL import Image

from datamodules.checking import check, page
from lightning_modules.cli import main

VIDEOS = Path(__file__).parents[1] / "data" / "videos"
CLIPS = ("keyboard_rot270.mov", "nasa_13013_rotated.mp4")
PICTURES = ("plain.jpg", "plain.png", "phone.jpg")  # the last with a second picture in it
BROKEN = ("broken.jpg", "broken.png", "broken_phone.jpg", "broken.mp4")


class Seen(Callback):
    """Notes the samples of every split, with their pixels."""

    def __init__(self) -> None:
        self.seen = {"train": [], "val": [], "test": []}

    def _note(self, split, batch):
        if not batch.samples:  # all of it was left out
            return
        clips = batch.frames.split(batch.frame_counts)
        hashes = [hashlib.sha256(clip.numpy().tobytes()).hexdigest() for clip in clips]
        self.seen[split] += zip([sample.id for sample in batch.samples], hashes, strict=True)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self._note("train", batch)

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx):
        self._note("val", batch)

    def on_test_batch_start(self, trainer, pl_module, batch, batch_idx):
        self._note("test", batch)


@pytest.fixture
def arguments(tmp_path):
    """Arguments of a run over pictures and clips, of which four are broken."""
    media = tmp_path / "media"
    media.mkdir()
    for name in CLIPS:
        shutil.copy(VIDEOS / name, media)
    picture = Image.effect_mandelbrot((120, 90), (-2, -1.5, 1, 1.5), 60).convert("RGB")
    for name in PICTURES[:2]:
        picture.save(media / name)
    picture.save(media / PICTURES[2], format="MPO", save_all=True, append_images=[picture.resize((60, 45))])
    for name, source in zip(BROKEN, (*PICTURES, CLIPS[1]), strict=True):
        content = (media / source).read_bytes()
        (media / name).write_bytes(content[: len(content) // 3])
    records = []
    for name in (*CLIPS, *PICTURES, *BROKEN):
        kind = "image" if name.endswith(("jpg", "png")) else "video"
        turns = [{"from": "human", "value": f"<{kind}>\nWhat?"}, {"from": "gpt", "value": f"This is {name}."}]
        records.append({"id": name, kind: name, "conversations": turns})
    (tmp_path / "qa.json").write_text(json.dumps(records))
    (tmp_path / "seen.yaml").write_text(
        "trainer: {callbacks: [{class_path: tests.lightning_modules.test_pictures_with_manifest.Seen}]}"
    )
    return ["--config=experiments/no_distillation.yaml", "--config=configs/data/real_clips.yaml",
            *(f"--data.{split}={tmp_path / 'qa.json'}" for split in ("train", "val", "test")),
            f"--data.media_root={media}", "--data.batching=SimilarBatches", "--data.batch_size=2",
            "--model.max_new_tokens=4"]  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("policy", ["SkipBadMedia", "SubstituteBadMedia"])
def test_as_much_is_learnt_and_answered_as_without_a_manifest(policy, arguments, run, tmp_path, monkeypatch):
    for module in (check, page):  # in this process: to start others costs more than the clips
        results = lambda function, items, processes: ((item, function(item)) for item in items)  # noqa: E731
        monkeypatch.setattr(module, "results_of_processes", results)
    arguments = [*arguments, f"--data.bad_media={policy}", "--data.bad_media.max_share=0.5"]
    main(["check-data", *arguments, f"--out={tmp_path / 'out'}", "--workers=1"])
    manifest = ["--data.manifest=Manifest", f"--data.manifest.file={tmp_path / 'out/manifest.jsonl'}"]
    seen, figures, answers = [], [], []
    for name, believed in {"without": [], "with": manifest}.items():
        cli = run("fit", *arguments, *believed, f"--config={tmp_path / 'seen.yaml'}", f"--name={name}",
                  "--trainer.max_epochs=1", "--trainer.check_val_every_n_epoch=1", tiny=False)  # fmt: skip
        (noted,) = (callback.seen for callback in cli.trainer.callbacks if type(callback).__name__ == "Seen")
        seen.append({split: sorted(samples) for split, samples in noted.items()})
        counted = {name: value for name, value in cli.summary.figures.items() if name.startswith("data/")}
        figures.append(counted)
        lines = (cli.folder / "answers/test.jsonl").read_text().splitlines()
        answers.append(sorted(json.loads(line)["id"] for line in lines))
    assert seen[0] == seen[1] and figures[0] == figures[1] and answers[0] == answers[1]
    whole = sorted((*CLIPS, *PICTURES))
    assert answers[0] == [f"{name}/0" for name in whole]
    learnt = [name for name, _ in seen[0]["train"]]
    if policy == "SkipBadMedia":
        assert learnt == whole and figures[0] == {"data/skipped_clips": 4.0}
    else:
        assert len(learnt) == 9 and set(learnt) == set(whole)
        assert figures[0] == {"data/skipped_clips": 4.0, "data/substituted_clips": 4.0}
