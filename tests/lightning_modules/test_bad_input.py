"""What a user gets wrong: one clear message each, status 1 or 2, no stack of frames."""

import errno
import json
import os
from pathlib import Path

import pytest
import torch

FULL = ("fit", "--config", "experiments/full.yaml")
DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model.encoder.local_encoding=NoLSTE"],
         "unknown local_encoding 'NoLSTE' (model.encoder.init_args.local_encoding); known: LSTE, "),
        (["--model.encoder.local_encoding.position_encoding=Nope"],
         "(model.encoder.init_args.local_encoding.init_args.position_encoding); known: DynamicPositionEncoding, "
         "NoPositionEncoding\n"),
        (["--model.encoder.downsampling=AvgPool"], "known: AveragePool, LSD"),
        (["--model.encoder=Stab"], "unknown encoder 'Stab'"),
        (["--model.language_model=Llama"], "did you mean TinyLlama?"),
        (["--data=ShapesMotion"], "unknown data 'ShapesMotion'"),
        (["--data.sampler=Uniform"], "UniformSampler"),
        (["--model.metrics=[TokenF2]"], "unknown metrics 'TokenF2' (model.metrics); known: ExactMatch"),
        (["--model.encoder.widht=3"], "widht"),
        (["--model.stge.encoder=3"], "stge"),
        (["--model.encoder.width=eight"], "Got value: eight"),
        (["--trainer.max_epochs=many"], "many"),
        (["--trainer.callbacks+=ModelViewz"], "did you mean ModelViews?"),
        (["--seed_everything=true"], "seed_everything is true; it must be a number"),
    ],
)  # fmt: skip
def test_a_wrong_name_key_or_type_is_said(fails, arguments, message):
    status, error = fails(*FULL, *arguments)
    assert status == 2 and message in error
    assert len(error.strip().splitlines()) < 10, "no list of all options before it"


def test_without_an_experiment_it_is_said_how_to_give_one(fails):
    status, error = fails("fit", "--trainer.max_epochs=1")
    assert status == 2 and error.endswith("; give an experiment, such as --config experiments/full.yaml\n")


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data.canvas=50"], "data.init_args.canvas"),
        (["--config=experiments/video_chatgpt.yaml", "--data.canvas=84"], "canvas is 84, but CLIPFrames takes 36 only"),
        (["--data.batch_size=0"], "data.init_args.batch_size is 0"),
        (["--data.batch_size=3", "--model.stage.global_batch=4"], "model.stage.global_batch"),
        (["--data.sampler.frames=9", "--model.encoder.chunking=OfficialChunks"], "a clip of 9 frames cannot be cut"),
        (["--model.encoder.width=50"], "heads: 8 does not divide the width 50"),
        (["--model.encoder.video_aggregator=NoVideoAggregator"], "FrameOnly"),
        (["--model.stage.warmup=2"], "model.stage.warmup is 2"),
        (["--data.scene.noise=-1"], "scene.noise"),
        (["--data.train_clips=0"], "data.init_args.train_clips is 0"),
        (
            ["--trainer.callbacks=LastCheckpoint", "--trainer.callbacks.every_n_steps=0"],
            "LastCheckpoint is 0; it must be at least 1",
        ),
        (["--config=experiments/no_such.yaml"], "no_such.yaml does not exist"),
        (["--ckpt_path=no_such.ckpt"], "ckpt_path no_such.ckpt does not exist"),
    ],
)
def test_a_value_out_of_range_is_said(fails, clips, tmp_path, arguments, message):
    size = [f"--data.root={clips}", "--data.train_clips=4", "--trainer.accelerator=cpu", f"--runs={tmp_path}"]
    status, error = fails(*FULL, *size, "--trainer.fast_dev_run=1", *arguments)
    assert status == 1 and message in error
    assert error.strip().splitlines()[-1].startswith("error: ")


def conversations(path, records):
    path.write_text(records if isinstance(records, str) else json.dumps(records))
    return path


def record(video="a.mp4", question="<video>\nWhat?", **more):
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": "This."}]
    return {"id": "1", "video": video, "conversations": turns} | more


@pytest.fixture
def media(tmp_path):
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "a.mp4").write_bytes((DATA / "videos/hard/one_frame_mpeg4.mp4").read_bytes())
    (folder / "broken.mp4").write_bytes((DATA / "videos/hard/not_a_video.mp4").read_bytes())
    (tmp_path / "outside.mp4").write_bytes((folder / "a.mp4").read_bytes())
    (folder / "link.mp4").symlink_to(tmp_path / "outside.mp4")
    return folder


def on_files(file, media, *more):
    """Arguments for a step on a conversation file."""
    places = [f"--data.{split}={file}" for split in ("train", "val", "test")]
    return [*FULL, "--config=configs/data/real_clips.yaml", *places, f"--data.media_root={media}",
            "--trainer.accelerator=cpu", "--trainer.fast_dev_run=1", "--data.batch_size=2",
            f"--runs={file.parent / 'runs'}", *more]  # fmt: skip


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ('[{"id": 1}\n oops]', "has no 'conversations'"),
        ("[\n oops]", "line 2"),
        ({"id": "1"}, "list"),
        ([record(question="What?")], "video"),
        ([record(question="<video><video>\nWhat?")], "2 times"),
        ([record(video="../outside.mp4")], "outside"),
        ([record(video="/etc/hostname")], "/etc/hostname"),
        ([record(video="link.mp4")], "link.mp4"),
        ([record(video="gone.mp4")], "gone.mp4"),
        ([record(), record()], "1"),
        ([{"id": "1", "video": "a.mp4"}], "conversations"),
        ([], "no records"),
    ],
)
def test_a_bad_record_is_named(fails, tmp_path, media, records, message):
    status, error = fails(*on_files(conversations(tmp_path / "qa.json", records), media))
    assert status == 1 and message in error and "error: " in error


def test_a_missing_media_root_is_named(fails, tmp_path):
    status, error = fails(*on_files(conversations(tmp_path / "qa.json", [record()]), tmp_path / "nowhere"))
    assert status == 1 and "nowhere" in error


def test_a_clip_that_cannot_be_read_stops_the_run_by_default(fails, tmp_path, media):
    file = conversations(tmp_path / "qa.json", [record(), record("broken.mp4", id="2")])
    status, error = fails(*on_files(file, media))
    assert status == 1 and "broken.mp4" in error and "SkipBadMedia" in error


def skipping(share):
    return ["--data.bad_media=SkipBadMedia", f"--data.bad_media.max_share={share}"]


def test_skipped_clips_are_counted_up_to_the_allowed_share(fails, tmp_path, media, capsys):
    from lightning_modules.experiment_cli import ExperimentCLI

    file = conversations(tmp_path / "qa.json", [record(), record("broken.mp4", id="2")])
    cli = ExperimentCLI(on_files(file, media, *skipping(0.5)))
    assert cli.trainer.global_step == 1
    assert list(cli.datamodule.skips.failed) == [str(media / "broken.mp4")]
    assert cli.summary.figures["data/skipped_clips"] == 1
    assert cli.trainer.callback_metrics["data/skipped_clips"] == 1  # a curve in TensorBoard
    status, error = fails(*on_files(file, media, *skipping(0.4)))
    assert status == 1 and "1 of 2 clips" in error


def test_one_frame_clips_are_images(tmp_path, media):
    from lightning_modules.experiment_cli import ExperimentCLI

    cli = ExperimentCLI(on_files(conversations(tmp_path / "qa.json", [record(), record(id="2")]), media))
    assert cli.trainer.global_step == 1


def test_a_checkpoint_that_is_none_is_refused_before_anything_is_built(fails, tmp_path):
    for name, content in {"text.ckpt": b"hello", "empty.ckpt": b""}.items():
        (tmp_path / name).write_bytes(content)
        status, error = fails(*FULL, f"--ckpt_path={tmp_path / name}")
        assert status == 1 and f"{name} is not a checkpoint" in error
    torch.save({"weights": torch.ones(1)}, tmp_path / "other.ckpt")
    status, error = fails(*FULL, f"--ckpt_path={tmp_path / 'other.ckpt'}")
    assert status == 1 and "not a checkpoint of this project" in error


def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(fails, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save({"state_dict": Trap(), "components": {}}, tmp_path / "trap.ckpt")
    status, error = fails(*FULL, f"--ckpt_path={tmp_path / 'trap.ckpt'}")
    assert status == 1 and "is not a checkpoint" in error
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("names", [("somewhere",), ("a temporary file", None, "somewhere")])
@pytest.mark.parametrize(
    ("number", "message"),
    [(errno.ENOSPC, "no space left on the device"), (errno.EDQUOT, "the disk quota is used up")],
)
def test_a_full_disk_is_one_line(fails, monkeypatch, names, number, message):
    """Errors of a copy name source and target; it is the target's disk that is full."""

    def no_space(*arguments, **keywords):
        raise OSError(number, os.strerror(number), *names)

    monkeypatch.setattr("lightning_modules.runs.claim.free_folder", no_space)
    status, error = fails(*FULL)
    assert status == 1 and f"{message} for somewhere" in error
