"""Training on a CUDA device: what it comes to on a CPU, in less exact numbers, and gone on with after a stop."""

import json

import pytest
import torch

from lightning_modules.video_language import VideoLanguageModel
from tests.lightning_modules.short_run import SHORT, losses

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
DEVICE = ("--trainer.accelerator=gpu", "--trainer.devices=1")
FULL = ("--config=experiments/full.yaml", *SHORT)
NO_DROPOUT = "--model.encoder.dropout=0"


def numbers(folder):
    return [float(loss) for loss in losses(folder)]


def test_losses_are_those_of_a_cpu(run):
    expected = numbers(run("fit", *FULL, NO_DROPOUT).folder)
    assert numbers(run("fit", *FULL, NO_DROPOUT, *DEVICE).folder) == pytest.approx(expected, rel=0.02)


def test_a_run_goes_on_with_the_random_numbers_of_its_device(run, tmp_path, monkeypatch):
    settings = ("fit", *FULL, "--model.encoder.dropout=0.5", *DEVICE)
    whole = numbers(run(*settings).folder)
    step = VideoLanguageModel.training_step

    def interrupted(self, batch, batch_idx):
        if self.trainer.global_step == 2:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(VideoLanguageModel, "training_step", interrupted)
        run(*settings, "--name=stopped")
    (checkpoint,) = (tmp_path / "runs").glob("stopped/*/checkpoints/interrupted.ckpt")

    def losses_from(seed):
        content = torch.load(checkpoint, weights_only=True)
        if seed is not None:
            torch.manual_seed(seed)
            content["random_state"] = {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state()}
        torch.save(content, checkpoint)
        return numbers(run(*settings, "--name=stopped", f"--ckpt_path={checkpoint}").folder)[-2:]

    same, other = losses_from(None), losses_from(1)
    assert same == pytest.approx(whole[2:], rel=1e-4)
    assert other != pytest.approx(whole[2:], rel=1e-3), "dropout makes a difference that can be seen"


def test_half_precision_trains_and_answers_as_a_cpu_does(run):
    trained = run("fit", *FULL, *DEVICE, NO_DROPOUT, "--trainer.precision=bf16-mixed")
    assert numbers(trained.folder) == pytest.approx(numbers(run("fit", *FULL, NO_DROPOUT).folder), rel=0.05)
    checkpoint = f"--ckpt_path={trained.folder / 'checkpoints' / 'last.ckpt'}"
    there, here = (run("test", "--config=experiments/full.yaml", checkpoint, *device).folder for device in (DEVICE, ()))
    ours, theirs = (
        {row["id"]: row["prediction"] for row in map(json.loads, (folder / "answers/test.jsonl").open())}
        for folder in (there, here)
    )
    assert ours.keys() == theirs.keys() and sum(ours[our] == theirs[our] for our in ours) >= 0.75 * len(ours)
