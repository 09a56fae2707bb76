"""A clip that cannot be read is replaced by another record in training, and left out where answers are scored."""

import json
import shutil
from pathlib import Path

import pytest

from datamodules.clip_dataset import Sample, collate
from datamodules.long_records import ErrorOnLongRecords
from datamodules.skips import SkipCounter
from datamodules.video.media_policy import SkipBadMedia, SubstituteBadMedia
from lightning_modules.experiment_cli import ExperimentCLI

VIDEOS = Path(__file__).parents[1] / "data" / "videos"
GOOD, BROKEN = ("keyboard_rot270.mov", "nasa_13013_rotated.mp4"), ("not_a_video.mp4", "truncated_no_moov.mp4")


@pytest.fixture
def arguments(tmp_path):
    media = tmp_path / "media"
    media.mkdir()
    for name in GOOD + BROKEN:
        shutil.copy(VIDEOS / ("hard" if name in BROKEN else ".") / name, media / name)
    question = [{"from": "human", "value": "<video>\nWhat?"}, {"from": "gpt", "value": "This."}]
    file = tmp_path / "qa.json"
    file.write_text(json.dumps([{"id": name, "video": name, "conversations": question} for name in GOOD + BROKEN]))

    def with_policy(*policy):
        return [
            "fit", "--config", "experiments/full.yaml", "--config", "configs/data/real_clips.yaml",
            *(f"--data.{split}={file}" for split in ("train", "val", "test")), f"--data.media_root={media}",
            "--data.batch_size=4", "--trainer.max_epochs=1", "--trainer.check_val_every_n_epoch=1",
            "--trainer.log_every_n_steps=1", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
            "--trainer.enable_model_summary=false", f"--runs={tmp_path / 'runs'}", "--test_after_fit=false",
            "--data.bad_media=SubstituteBadMedia", *policy,
        ]  # fmt: skip

    return with_policy


def test_training_sees_whole_batches_and_scores_only_what_was_asked(arguments, monkeypatch):
    cli = ExperimentCLI(arguments("--data.bad_media.max_share=0.5"))
    assert cli.summary.figures["data/substituted_clips"] == len(BROKEN)
    assert cli.summary.figures["data/skipped_clips"] == len(BROKEN)  # in validation
    assert cli.trainer.callback_metrics["data/substituted_clips"] == len(BROKEN)  # a curve in TensorBoard

    training = cli.datamodule.dataset("train")
    samples = [training[index] for index in range(len(training))]
    batch = collate(samples)
    assert len(batch.samples) == len(samples) and {facts.id for facts in batch.samples} == set(GOOD)
    # Named: what could not be read, and what came instead. A substitute that was passed over counts too.
    assert {skip.record_id for skip in batch.skipped} == set(BROKEN)
    assert {skip.substitute for skip in batch.skipped} <= set(GOOD)
    again = [training[index] for index in range(len(training), 2 * len(training))]  # the next epoch
    assert [sample.facts.id for sample in again] == [sample.facts.id for sample in samples]

    scored = cli.datamodule.dataset("val")
    shown = [scored[index] for index in range(len(scored))]
    assert [sample.facts.id for sample in shown if isinstance(sample, Sample)] == [f"{name}/0" for name in GOOD]


def test_too_many_replaced_clips_stop_the_run(fails, arguments):
    status, error = fails(*arguments("--data.bad_media.max_share=0.4"))
    assert status == 1 and "2 of 4 clips cannot be read" in error


def test_the_choice_depends_on_seed_and_record_and_is_bounded():
    policy = SubstituteBadMedia(tries=5)
    assert policy.substitutes("a", 100) == SubstituteBadMedia(tries=5).substitutes("a", 100)
    assert len(set(policy.substitutes("a", 100))) == 5
    assert policy.substitutes("a", 100) != policy.substitutes("b", 100)
    assert policy.substitutes("a", 100) != SubstituteBadMedia(tries=5, seed=1).substitutes("a", 100)
    assert sorted(policy.substitutes("a", 3)) == [0, 1, 2]
    with pytest.raises(ValueError, match="tries is 0"):
        SubstituteBadMedia(tries=0)


def test_evaluation_leaves_out():
    policy = SubstituteBadMedia(max_share=0.3).at_evaluation()
    assert type(policy) is SkipBadMedia and policy.max_share == 0.3


def test_when_every_try_fails_the_sample_is_left_out(arguments):
    cli = ExperimentCLI(arguments("--data.bad_media.max_share=0.5"))
    training = cli.datamodule.dataset("train")
    training.records = [record for record in training.records if record.id in BROKEN]
    batch = collate([training[0], training[1]])
    assert not batch.samples and [skip.substitute for skip in batch.skipped] == ["", ""]
    counter = SkipCounter(SkipBadMedia(1.0), ErrorOnLongRecords())
    counter.expect(2, 1)
    counter.count(batch.skipped)
    assert counter.figures() == {"data/skipped_clips": 2.0}
