"""Training with a teacher: what it adds to the loss, who learns from it, and that all else does without it."""

import csv

import pytest
import torch

from components.distillation import CosineDistillation
from components.teachers import DiskFeatureCache, LanguageBindTeacher
from lightning_modules.cli import main
from tests.lightning_modules.short_run import SHORT, losses

FULL = ("--config", "experiments/full.yaml")
LOSSES = ("train/text_loss", "train/distillation_loss", "train/loss")


@pytest.fixture
def asked(monkeypatch):
    """The number of frames of every call of the teacher, and what it saw."""
    calls, forward = [], LanguageBindTeacher.forward

    def remembering(teacher, frames, frame_counts):
        calls.append(frames)
        return forward(teacher, frames, frame_counts)

    monkeypatch.setattr(LanguageBindTeacher, "forward", remembering)
    return calls


def logged(cli):
    with (cli.folder / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("train/loss")]
    return [[float(row[name]) for name in LOSSES] for row in rows]


@pytest.mark.long
def test_the_loss_is_that_of_the_text_and_the_weighted_one_of_the_teacher(run):
    for weight in (1.0, 0.25):
        cli = run("fit", *FULL, *SHORT, "--trainer.limit_train_batches=1", f"--model.distillation.weight={weight}")
        for text, distillation, loss in logged(cli):
            assert 0 < distillation < 2  # one minus a cosine
            assert loss == pytest.approx(text + weight * distillation, rel=1e-5)


def test_language_model_encoder_and_head_learn_from_the_teacher_alone(run):
    cli = run("fit", *FULL, "--trainer.fast_dev_run=1")
    model = cli.model
    batch = next(iter(cli.datamodule.train_dataloader()))
    model.zero_grad()
    _, distillation = model.training_losses(model.on_before_batch_transfer(batch, 0))
    distillation.backward()
    for name, group in model.groups().items():
        assert sum(float(p.grad.abs().sum()) for p in group.parameters() if p.grad is not None) > 0, name
    assert all(parameter.grad is None for parameter in model.teacher.parameters())


def test_a_frozen_language_model_stays_while_the_vision_part_learns(run):
    cli = run("fit", *FULL, "--config", "configs/stage/align.yaml", "--model.stage.global_batch=2",
              "--trainer.fast_dev_run=1")  # fmt: skip
    groups = [group["name"] for group in cli.trainer.optimizers[0].param_groups]
    assert groups == ["encoder", "projector", "distillation"]


def test_validation_and_test_ask_neither_the_teacher_nor_for_hidden_states(run, asked, monkeypatch):
    cli = run("fit", *FULL, "--trainer.fast_dev_run=1")
    asked.clear()
    monkeypatch.setattr(CosineDistillation, "forward", None)
    cli.trainer.validate(cli.model, datamodule=cli.datamodule, verbose=False)
    run("test", *FULL, "--trainer.fast_dev_run=1")
    assert asked == []


def test_a_checkpoint_has_the_head_but_not_the_teacher(run):
    cli = run("fit", *FULL, *SHORT, "--trainer.limit_train_batches=1")
    content = torch.load(cli.folder / "checkpoints" / "last.ckpt", weights_only=True)
    names = content["state_dict"].keys()
    assert {name.split(".")[0] for name in names} == {"encoder", "projector", "language_model", "distillation"}
    assert (content["components"]["teacher"], content["components"]["distillation"]) == (
        "LanguageBindTeacher",
        "CosineDistillation",
    )


@pytest.mark.long
def test_kept_features_give_the_same_losses_without_the_teacher(run, asked, tmp_path, monkeypatch):
    cache = ("--model.feature_cache=DiskFeatureCache", f"--model.feature_cache.folder={tmp_path / 'features'}")
    live = run("fit", *FULL, *SHORT)
    frames = sum(map(len, asked))
    asked.clear()
    first = run("fit", *FULL, *SHORT, *cache)
    assert isinstance(first.model.feature_cache, DiskFeatureCache)
    assert sum(map(len, asked)) == frames / 2  # two epochs
    asked.clear()
    looked_up = []
    for name in ("look_up", "get"):  # in this process: a loader's process has a list of its own
        method = getattr(DiskFeatureCache, name)
        monkeypatch.setattr(DiskFeatureCache, name, lambda *given, do=method: looked_up.append(do) or do(*given))
    second = run("fit", *FULL, *SHORT, *cache, "--data.workers=1")
    assert asked == looked_up == []
    assert logged(live) == logged(first) == logged(second)
    assert len(losses(live.folder)) == 4


def test_a_plan_needs_no_kept_features(capsys):
    cache = ("--model.feature_cache=DiskFeatureCache", "--model.feature_cache.folder=nowhere")
    planned = []
    for arguments in ((), cache):
        main(["plan", *FULL, "--config", "configs/scale/toy.yaml", "--samples", "100", *arguments])
        planned.append(capsys.readouterr().out)
    assert planned[0] == planned[1] and "activations" in planned[0]


def test_the_teacher_of_a_blind_model_is_blind_too(run, asked):
    run("fit", "--config", "experiments/blind.yaml", "--trainer.fast_dev_run=1")
    run("fit", *FULL, "--trainer.fast_dev_run=1")
    blind, seeing = (frames.float() for frames in asked)
    assert blind.std() > 70  # uniform noise has 74
    assert (blind[0] - seeing[0]).abs().mean() > 30


def test_the_teacher_sees_the_frames_of_the_model(run, asked):
    cli = run("fit", *FULL, "--trainer.fast_dev_run=1", "--data.canvas=72", "--model.encoder.patch_size=12")
    batch = next(iter(cli.datamodule.train_dataloader()))
    smaller = torch.nn.functional.avg_pool2d(batch.clips.frames.float(), 2)
    assert batch.teacher_clips.frames.shape == smaller.shape
    assert (batch.teacher_clips.frames - smaller).abs().mean() < 5
    assert torch.equal(batch.teacher_clips.shapes.rectangles, batch.clips.shapes.rectangles // 2)


@torch.no_grad()
def test_features_are_compared_with_the_windows_and_nothing_else(run):
    cli = run("fit", *FULL, "--trainer.fast_dev_run=1")
    model = cli.model.eval()
    batch = model.on_before_batch_transfer(next(iter(cli.datamodule.train_dataloader())), 0)
    features = model.projector(model.encoder(model.encoder.normalize(batch.frames), batch.layout))
    contexts = len(batch.frames)  # one token in front of each frame, then the windows of all frames
    windows = features[contexts : contexts + len(batch.layout.windows)]
    embeddings = model.embeddings(batch.text, model.visual_tokens(batch)).flatten(0, 1)
    torch.testing.assert_close(embeddings[batch.teacher.positions], windows)


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model.teacher=NoTeacher"], "model.teacher is NoTeacher and model.distillation is CosineDistillation"),
        (["--model.distillation=NoDistillation"], "model.teacher is LanguageBindTeacher and model.distillation is No"),
        (["--model.distillation.weight=-1"], "model.distillation.init_args.weight: -1"),
        (["--model.teacher.canvas=24"], "choose another model.teacher.init_args.canvas"),
        (["--model.teacher.canvas=35"], "model.teacher.init_args.canvas is 35"),
        (["--model.teacher.weights=nowhere"], "model.teacher.init_args.weights: 'nowhere' cannot be used"),
        (["--config=experiments/video_chatgpt.yaml", "--model.teacher=LanguageBindTeacher",
          "--model.distillation=CosineDistillation"], "CLIPFrames has no tokens that stand for a part of a frame"),
    ],
)  # fmt: skip
def test_what_cannot_be_distilled_is_refused(fails, tiny, tmp_path, arguments, said):
    status, error = fails("fit", *FULL, *arguments, *tiny, "--trainer.fast_dev_run=1", f"--runs={tmp_path}")
    assert status in (1, 2)
    assert said in error
