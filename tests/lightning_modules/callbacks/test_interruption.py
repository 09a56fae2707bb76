"""Ctrl-C keeps the work, and the run goes on as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.lightning_modules.short_run import NO_LSTE, SHORT, losses


@pytest.mark.long
@pytest.mark.parametrize(
    ("stop", "where"), [(1, "training_step"), (2, "training_step"), (3, "training_step"), (2, "validation_step")]
)
def test_an_interrupted_run_goes_on_with_the_same_losses_in_its_folder(run, finished, stop, where, monkeypatch):
    from lightning_modules.video_language import VideoLanguageModel

    whole = losses(finished.folder)
    step = getattr(VideoLanguageModel, where)

    def interrupted(self, batch, batch_idx):
        if self.trainer.global_step == stop:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    monkeypatch.setattr(VideoLanguageModel, where, interrupted)
    with pytest.raises(SystemExit):
        run("fit", *NO_LSTE, *SHORT)
    monkeypatch.setattr(VideoLanguageModel, where, step)
    folder = finished.folder.with_name("seed_0.2")
    checkpoint = folder / "checkpoints" / "interrupted.ckpt"
    resumed = run("fit", "--config", str(folder / "config.yaml"), f"--ckpt_path={checkpoint}")
    assert resumed.folder == folder
    assert resumed.trainer.global_step == len(whole)
    assert losses(folder)[-(len(whole) - stop) :] == whole[stop:]
    origin = (folder / "origin.txt").read_text()
    assert "LSTE -> NoLocalEncoding" in origin, "what the experiment is, is still known"
    assert "NoLocalEncoding" in resumed.origin.ablated()
    assert f"went on with\n\nconfig files, later ones win:\n  {folder / 'config.yaml'}\n" in origin


@pytest.mark.long
@pytest.mark.parametrize("stop", [2, 3])
def test_a_killed_run_goes_on_from_its_last_checkpoint_with_the_same_losses(run, finished, stop, tmp_path, monkeypatch):
    from lightning_modules.video_language import VideoLanguageModel

    class Killed(BaseException):
        pass

    def killed(self, batch, batch_idx):
        if self.trainer.global_step == stop:
            raise Killed
        return step(self, batch, batch_idx)

    settings = tmp_path / "often.yaml"
    settings.write_text("trainer: {callbacks: [{class_path: LastCheckpoint, init_args: {every_n_steps: 2}}]}")
    often = (*NO_LSTE, f"--config={settings}", "--name=no_lste", *SHORT)
    step = VideoLanguageModel.training_step
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(VideoLanguageModel, "training_step", killed)
        run("fit", *often)
    checkpoint = finished.folder.with_name("seed_0.2") / "checkpoints" / "last.ckpt"
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 2
    resumed = run("fit", *often, f"--ckpt_path={checkpoint}")
    assert losses(resumed.folder) == losses(finished.folder)[2:]


def test_ctrl_c_says_how_to_continue(run, capsys, monkeypatch):
    def interrupted(self, batch, batch_idx):
        raise KeyboardInterrupt

    monkeypatch.setattr("lightning_modules.video_language.VideoLanguageModel.training_step", interrupted)
    with pytest.raises(SystemExit) as caught:
        run("fit", *NO_LSTE, *SHORT)
    assert caught.value.code == 1
    output = capsys.readouterr().err
    assert "continue with" in output and "--ckpt_path" in output and "interrupted.ckpt" in output


@pytest.fixture
def heard():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_that_is_stopped_goes_on_with_the_same_losses(run, finished, capsys, monkeypatch, heard, number):
    from lightning_modules.video_language import VideoLanguageModel

    def step(self, batch, batch_idx):
        if self.global_step == 1:
            signal.raise_signal(number)
        return original(self, batch, batch_idx)

    original, handler = VideoLanguageModel.training_step, signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(VideoLanguageModel, "training_step", step)
        run("fit", *NO_LSTE, *SHORT)
    output = capsys.readouterr().err
    assert ("stopping after this step" in output) == (number == signal.SIGINT)
    assert "interrupted after step 2; continue with" in output
    assert signal.getsignal(signal.SIGTERM) == handler
    checkpoint = Path(output.rsplit("--ckpt_path ")[1].splitlines()[0])
    assert losses(checkpoint.parents[1]) == losses(finished.folder)[:2]
    resumed = run("fit", *NO_LSTE, *SHORT, f"--ckpt_path={checkpoint}")
    assert losses(resumed.folder, "metrics.1.csv") + losses(resumed.folder) == losses(finished.folder)


def test_ctrl_c_waits_for_the_step_that_gradients_add_up_for(run, capsys, monkeypatch, heard):
    from lightning_modules.video_language import VideoLanguageModel

    def step(self, batch, batch_idx):
        if batch_idx == 0:
            signal.raise_signal(signal.SIGINT)
        return original(self, batch, batch_idx)

    original = VideoLanguageModel.training_step
    monkeypatch.setattr(VideoLanguageModel, "training_step", step)
    with pytest.raises(SystemExit):
        run("fit", *NO_LSTE, *SHORT, "--data.batch_size=1", "--model.stage.global_batch=2")
    assert "interrupted after step 1; continue with" in capsys.readouterr().err


@pytest.mark.long
def test_a_run_goes_on_in_mid_epoch_with_batches_of_another_size_only_if_they_add_up(run, finished, monkeypatch):
    from lightning_modules.video_language import VideoLanguageModel

    def interrupted(self, batch, batch_idx):
        if self.global_step == 1:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    step = VideoLanguageModel.training_step
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(VideoLanguageModel, "training_step", interrupted)
        run("fit", *NO_LSTE, *SHORT)
    checkpoint = finished.folder.with_name("seed_0.2") / "checkpoints" / "interrupted.ckpt"
    with pytest.raises(ValueError, match=r"taken 2 samples at a time, and this one takes .* = 1; set batch_size"):
        run("fit", *NO_LSTE, *SHORT, "--data.batch_size=1", f"--ckpt_path={checkpoint}")
    run("validate", *NO_LSTE, "--data.batch_size=1", f"--ckpt_path={checkpoint}")
    between_epochs = finished.folder / "checkpoints" / "last.ckpt"
    longer = run(
        "fit", *NO_LSTE, *SHORT, "--data.batch_size=1", "--trainer.max_epochs=3", f"--ckpt_path={between_epochs}"
    )
    assert longer.trainer.global_step == 4 + 4


def test_a_second_ctrl_c_stops_at_once(run, capsys, monkeypatch, heard):
    def step(self, batch, batch_idx):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("went on")

    monkeypatch.setattr("lightning_modules.video_language.VideoLanguageModel.training_step", step)
    with pytest.raises(SystemExit):
        run("fit", *NO_LSTE, *SHORT)
    assert "interrupted after step 0; continue with" in capsys.readouterr().err


def test_ctrl_c_before_training_leaves_no_checkpoint(run, capsys, monkeypatch, tmp_path):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr("datamodules.shapes_in_motion.datamodule.ShapesInMotion.prepare_data", interrupted)
    with pytest.raises(SystemExit):
        run("fit", *NO_LSTE, *SHORT)
    assert "the same command goes on" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.ckpt"))


def test_ctrl_c_before_a_resumed_training_keeps_its_checkpoint(run, finished, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    checkpoint = finished.folder / "checkpoints" / "interrupted.ckpt"
    (finished.folder / "checkpoints" / "last.ckpt").rename(checkpoint)
    before = checkpoint.read_bytes()
    monkeypatch.setattr("datamodules.shapes_in_motion.datamodule.ShapesInMotion.prepare_data", interrupted)
    with pytest.raises(SystemExit):
        run("fit", *NO_LSTE, *SHORT, f"--ckpt_path={checkpoint}")
    assert checkpoint.read_bytes() == before


@pytest.mark.long
def test_a_real_ctrl_c_leaves_a_checkpoint_and_says_how_to_continue(tiny, tmp_path, hear_control_c):
    command = [sys.executable, "-m", "lightning", "fit", *NO_LSTE, *tiny, f"--runs={tmp_path}"]
    # A group of its own, as a terminal gives it: Ctrl-C goes to the program and all that it started.
    process = subprocess.Popen(
        [*command, "--trainer.max_epochs=100000", "--trainer.log_every_n_steps=1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=hear_control_c,
    )  # fmt: skip
    try:
        metrics = tmp_path / "no_lste" / "seed_0" / "metrics.csv"
        while process.poll() is None and not metrics.is_file():
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        _, output = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1 and "Traceback" not in output
    checkpoint = tmp_path / "no_lste" / "seed_0" / "checkpoints" / "interrupted.ckpt"
    assert f"--ckpt_path {checkpoint}" in output
    assert torch.load(checkpoint, weights_only=True)["global_step"] > 0
