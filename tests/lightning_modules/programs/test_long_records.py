"""A record that is too long is named before a training, and left out of it if the policy says so."""

import json
import shutil
from pathlib import Path

import pytest

from lightning_modules.experiment_cli import ExperimentCLI
from lightning_modules.programs.check_data import main as check_data

VIDEOS = Path(__file__).parents[2] / "data" / "videos"
LONG = "word " * 6000
# Too long with its visual tokens only, of which nobody knows before the clip is read.
BORDERLINE = "!" * 180


@pytest.fixture
def arguments(tmp_path):
    media = tmp_path / "media"
    media.mkdir()
    shutil.copy(VIDEOS / "nasa_13013_rotated.mp4", media / "a.mp4")

    def record(identity, question, answer):
        turns = [{"from": "human", "value": f"<video>\n{question}"}, {"from": "gpt", "value": answer}]
        return {"id": identity, "video": "a.mp4", "conversations": turns}

    def with_records(train=(), test=(), max_length=200):
        for split, more in (("train", train), ("test", test)):
            records = [*(record(f"{split}{n}", "What?", "This.") for n in range(7)), *(record(*item) for item in more)]
            (tmp_path / f"{split}.json").write_text(json.dumps(records))
        files = {"train": "train", "val": "test", "test": "test"}
        return [
            "--config", "experiments/no_distillation.yaml", "--config", "configs/data/real_clips.yaml",
            *(f"--data.{split}={tmp_path / file}.json" for split, file in files.items()), f"--data.media_root={media}",
            "--model.language_model=TinyLlama", f"--model.language_model.max_length={max_length}",
            "--data.sampler.frames=2",
        ]  # fmt: skip

    return with_records


STEP = ("--data.batch_size=4", "--trainer.max_epochs=1", "--trainer.check_val_every_n_epoch=1",
        "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false",
        "--trainer.num_sanity_val_steps=0")  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("split", ["train", "test"])
def test_it_is_named_before_the_first_step(fails, arguments, tmp_path, split):
    options = arguments(**{split: [("the long one", LONG, "card")]})
    identity = "the long one" + "/0" * (split == "test")
    status, error = fails("fit", *options, *STEP, "--trainer.limit_val_batches=0", f"--runs={tmp_path / 'runs'}")
    assert status == 1
    assert f"error: record {identity!r} about {tmp_path / 'media/a.mp4'} ({tmp_path / split}.json, record 7)" in error
    assert "SkipLongRecords" in error and not list(tmp_path.rglob("*.ckpt"))

    with pytest.raises(SystemExit) as stopped:
        check_data([*options, f"--out={tmp_path / 'check'}", "--workers=1"])
    assert stopped.value.code == 1


@pytest.mark.long
def test_it_is_left_out_and_counted(arguments, tmp_path, capsys):
    long = [("known", LONG, "card"), ("borderline", BORDERLINE, "card")]
    options = arguments(train=long, test=long)
    policy = ("--data.long_records=SkipLongRecords", "--data.long_records.max_share=0.5")
    cli = ExperimentCLI(["fit", *options, *STEP, *policy, f"--runs={tmp_path / 'runs'}"])
    summary = json.loads(next(tmp_path.rglob("summary.json")).read_text())["figures"]
    assert summary["data/skipped_records"] == 4  # two of train, and two questions of val, which are those of test
    assert sorted(name.split("'")[1] for name in cli.datamodule.skips.long) == [
        "borderline", "borderline/0", "known", "known/0",
    ]  # fmt: skip
    answers = [
        json.loads(line)["id"] for line in next(tmp_path.rglob("test.jsonl")).read_text().splitlines() if '"id"' in line
    ]
    assert sorted(answers) == [f"test{n}/0" for n in range(7)]

    capsys.readouterr()
    check_data([*options, *policy, f"--out={tmp_path / 'check'}", "--workers=1"])
    output = capsys.readouterr().out
    assert (
        "too long for the language model (4):\n  record 'known' about" in output and "record 'borderline/0'" in output
    )
