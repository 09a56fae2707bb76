"""Stages in a row: weights are handed over, and a chain that was stopped goes on where it was."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from ablation import chain
from lightning_modules.cli import ExperimentCLI
from lightning_modules.video_language import VideoLanguageModel

EXPERIMENT = ["experiments/no_lste.yaml"]
SETTINGS = [
    "--data.train_clips=4", "--data.val_questions_per_family=1", "--data.test_questions_per_family=1",
    "--data.turns_per_record=8", "--data.batch_size=2", "--data.eval_batch_size=4", "--model.stage.global_batch=2",
    "--trainer.max_epochs=2", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]  # fmt: skip


def weights(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.fixture
def settings(tmp_path):
    return [f"--data.root={tmp_path / 'clips'}", *SETTINGS]


@pytest.fixture
def in_this_process(monkeypatch):
    """Trains without a process for each stage; returns the arguments of every training."""
    calls = []

    def train(arguments):
        calls.append(arguments)
        ExperimentCLI(["fit", *arguments])
        return 0

    monkeypatch.setattr(chain, "train_stage", train)
    return calls


def test_a_chain_that_is_killed_in_its_second_stage_goes_on_there(in_this_process, settings, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(self, batch, batch_idx):
        if self.stage.language_model > 0 and self.trainer.global_step == 2:
            raise Killed
        return step(self, batch, batch_idx)

    often = tmp_path / "often.yaml"
    often.write_text("trainer: {callbacks: [{class_path: LastCheckpoint, init_args: {every_n_steps: 1}}]}")
    stages = [f"{stage}+{often}" for stage in chain.STAGES]
    whole = chain.chain(EXPERIMENT, stages, tmp_path / "whole", 0, settings)
    assert [folder.parent.name for folder in whole] == ["no_lste+align", "no_lste+integrate", "no_lste+instruct"]
    assert [(folder / "answers" / "test.jsonl").exists() for folder in whole] == [False, False, True]

    step = VideoLanguageModel.training_step
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(VideoLanguageModel, "training_step", killed)
        chain.chain(EXPERIMENT, stages, tmp_path / "killed", 0, settings)
    del in_this_process[:]
    gone_on = chain.chain(EXPERIMENT, stages, tmp_path / "killed", 0, settings)
    assert [folder.name for folder in gone_on] == ["seed_0"] * 3
    assert [call[-1].partition("=")[0] for call in in_this_process] == ["--ckpt_path", "--init_from"]  # not align again
    for ours, theirs in zip(gone_on, whole, strict=True):
        torch.testing.assert_close(weights(ours), weights(theirs), rtol=0, atol=0)


def test_a_stage_trains_only_its_groups_from_the_weights_of_the_one_before(in_this_process, settings, tmp_path):
    align, integrate = chain.chain(EXPERIMENT, chain.STAGES[:2], tmp_path, 0, settings)
    frozen = ["--model.stage.language_model=0", "--trainer.fast_dev_run=1", f"--runs={tmp_path}"]
    fresh = ExperimentCLI(["fit", "--config", *EXPERIMENT, *settings, *frozen]).model.state_dict()
    first, second = weights(align), weights(integrate)
    words = [name for name in first if name.startswith("language_model.")]
    assert all(torch.equal(first[name], fresh[name]) for name in words)
    assert not any(torch.equal(first[name], second[name]) for name in words if name.endswith("proj.weight"))
    assert "init_from" in (integrate / "origin.txt").read_text()


def test_the_chain_of_the_readme(in_this_process, settings, tmp_path):
    commands = re.findall(r"^video-panda chain (.*)$", Path("README.md").read_text(), re.MULTILINE)
    (command,) = (command for command in commands if "scale/paper" not in command)
    quick = [setting for setting in settings if "global_batch" not in setting and "max_epochs" not in setting]
    chain.main([*shlex.split(command), *quick, f"--runs={tmp_path}"])
    assert [Path(call[0]).name for call in in_this_process] == ["full.yaml"] * 3
    assert (tmp_path / "full+instruct" / "seed_0" / "answers" / "test.jsonl").is_file()


def test_a_stage_that_fails_stops_the_chain_with_one_line(settings, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        chain.main(["--config=experiments/no_lste.yaml", "--stages=configs/stage/align.yaml", f"--runs={tmp_path}",
                    *settings, "--data.batch_size=3"])  # fmt: skip
    assert caught.value.code == 1
    assert "stage no_lste+align did not end well (status 1)" in capsys.readouterr().err
