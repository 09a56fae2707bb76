"""Stages in a row: weights are handed over, and a chain that was stopped goes on where it was."""

import hashlib
import json
import re
import shlex
from pathlib import Path

import pytest
import torch

from ablation import chain
from ablation.stage_record import IGNORED, read_record, stage_difference
from lightning_modules.experiment_cli import ExperimentCLI
from lightning_modules.video_language import VideoLanguageModel
from tests.guides import commands

EXPERIMENT = ["experiments/no_lste.yaml"]
SETTINGS = [
    "--data.train_clips=4", "--data.val_questions_per_family=1", "--data.test_questions_per_family=1",
    "--data.turns_per_record=9", "--data.batch_size=2", "--data.eval_batch_size=4", "--model.stage.global_batch=2",
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

    def train(arguments, stage, holds):
        assert f"--name={stage.rpartition(': ')[2]}" in arguments
        calls.append(arguments)
        ExperimentCLI(["fit", *arguments])
        return 0

    monkeypatch.setattr(chain, "train_stage", train)
    return calls


@pytest.mark.long
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


def test_a_stage_is_told_what_it_is_of(monkeypatch):
    class Process:
        def __init__(self, command, env, pass_fds):
            assert command[-1] == "--name=a" and env["VIDEO_PANDA_STARTED_BY"] == "chain, stage 1 of 3: a"

        def wait(self):
            return 0

    monkeypatch.setattr(chain.subprocess, "Popen", Process)
    assert chain.train_stage(["--name=a"], "1 of 3: a") == 0


@pytest.mark.long
def test_a_stage_that_was_trained_with_other_settings_stops_the_chain(in_this_process, settings, tmp_path):
    file = tmp_path / "warmup.yaml"
    file.write_text("model: {stage: {warmup: 0.03}}")
    stages = [f"{chain.STAGES[0]}+{file}"]
    (align,) = chain.chain(EXPERIMENT, stages, tmp_path, 0, settings)
    elsewhere = ["--trainer.devices=1", "--data.workers=1", "--trainer.enable_progress_bar=true"]
    assert chain.chain(EXPERIMENT, stages, tmp_path, 0, [*settings, *elsewhere]) == [align]
    other = "model.stage.encoder: 0.002 -> 0.001"
    with pytest.raises(ValueError, match=rf"align/seed_0 was trained with other .*: {other}\. .*another --runs"):
        chain.chain(EXPERIMENT, stages, tmp_path, 0, [*settings, "--model.stage.encoder=1e-3"])
    file.write_text("model: {stage: {warmup: 0.5}}")  # the same command, but not the same file
    with pytest.raises(ValueError, match=r"here: model\.stage\.warmup: 0\.03 -> 0\.5\. Give"):
        chain.chain(EXPERIMENT, stages, tmp_path, 0, settings)
    file.write_text("model: {stage: {warmup: 0.03}}")
    (align / "summary.json").unlink()  # as if it had been killed
    with pytest.raises(ValueError, match=r"model\.encoder\.init_args\.width: 96 -> 64"):
        chain.chain(EXPERIMENT, stages, tmp_path, 0, [*settings, "--model.encoder.width=64"])
    (align / "config.yaml").unlink()
    with pytest.raises(ValueError, match=r"it is not known what was trained in .*config\.yaml"):
        chain.chain(EXPERIMENT, stages, tmp_path, 0, settings)
    assert len(in_this_process) == 1


def test_what_only_says_where_and_how_fast_is_not_compared():
    for key in IGNORED:
        kept, asked = {}, {}
        for config, value in ((kept, 1), (asked, {"class_path": "Other"})):
            *parents, last = key.split(".")
            for parent in parents:
                config = config.setdefault(parent, {})
            config[last] = value
        assert stage_difference(kept, asked) == []
    assert stage_difference({"model": {"a": 1}}, {"model": {"b": {"c": None}}}) == [
        "model.a: 1 -> -", "model.b.c: - -> None"
    ]  # fmt: skip
    assert stage_difference({"trainer": {"devices_more": 1}}, {"trainer": {}}) == ["trainer.devices_more: 1 -> -"]


def test_a_record_of_a_stage_with_wrong_types_is_named(tmp_path):
    start = {"checkpoint": "r/seed_0/checkpoints/last.ckpt", "sha256": "a", "configuration": "b"}
    for record in (
        {"configuration": 1, "starts_from": None},
        {"configuration": "a", "starts_from": ""},
        {"configuration": "a", "starts_from": start | {"checkpoint": 1}},
        {"configuration": "a", "starts_from": None, "checkpoint_sha256": ["a"]},
    ):
        (tmp_path / "stage.json").write_text(json.dumps(record))
        with pytest.raises(ValueError, match=r"stage\.json is not a record of a stage"):
            read_record(tmp_path)


def test_other_settings_are_said_by_the_program(settings, tmp_path, capsys):
    folder = tmp_path / "no_lste+align" / "seed_0"
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text("{}")
    (folder / "config.yaml").write_text("seed_everything: 3")
    stage = ["--config=experiments/no_lste.yaml", "--stages=configs/stage/align.yaml", f"--runs={tmp_path}", *settings]
    with pytest.raises(SystemExit) as caught:
        chain.main(stage)
    assert caught.value.code == 1
    assert "trained with other settings" in (error := capsys.readouterr().err) and "seed_everything: 3 -> 0" in error


def test_two_chains_of_an_experiment_do_not_collide_if_they_have_names(tmp_path, monkeypatch, capsys):
    begun = []

    def train(arguments, stage, holds):
        begun.extend(word for word in arguments if word.startswith(("--name", "--model.stage.encoder")))
        return 1

    monkeypatch.setattr(chain, "train_stage", train)
    for name, rate in (("fast", "2e-3"), ("slow", "1e-3")):
        with pytest.raises(SystemExit):
            chain.main(
                ["--config", *EXPERIMENT, f"--runs={tmp_path}", f"--name={name}", f"--model.stage.encoder={rate}"]
            )
    assert begun == [
        "--model.stage.encoder=2e-3",
        "--name=fast+align",
        "--model.stage.encoder=1e-3",
        "--name=slow+align",
    ]
    assert sorted(path.parent.parent.name for path in tmp_path.glob("*/seed_0/stage.json")) == [
        "fast+align",
        "slow+align",
    ]
    capsys.readouterr()
    with pytest.raises(SystemExit):
        chain.main(["--config", *EXPERIMENT, f"--runs={tmp_path}", "--name=a/b"])
    assert "error: name 'a/b' has '/' in it" in capsys.readouterr().err


@pytest.mark.long
def test_a_stage_trains_only_its_groups_from_the_weights_of_the_one_before(in_this_process, settings, tmp_path):
    align, integrate = chain.chain(EXPERIMENT, chain.STAGES[:2], tmp_path, 0, settings)
    frozen = ["--model.stage.language_model=0", "--trainer.fast_dev_run=1", f"--runs={tmp_path}"]
    fresh = ExperimentCLI(["fit", "--config", *EXPERIMENT, *settings, *frozen]).model.state_dict()
    first, second = weights(align), weights(integrate)
    words = [name for name in first if name.startswith("language_model.")]
    assert all(torch.equal(first[name], fresh[name]) for name in words)
    assert not any(torch.equal(first[name], second[name]) for name in words if name.endswith("proj.weight"))
    assert "init_from" in (integrate / "origin.txt").read_text()

    other = tmp_path / "other.yaml"  # is called otherwise, and has the first stage in common
    other.write_text(f"base: {Path(*EXPERIMENT).resolve()}")
    common, again = chain.chain([str(other)], chain.STAGES[:2], tmp_path, 0, settings)
    assert (common, again.parent.name, len(in_this_process)) == (align, "other+integrate", 3)
    start = read_record(again).starts_from
    assert start == read_record(integrate).starts_from
    assert start.sha256 == hashlib.sha256((align / "checkpoints" / "last.ckpt").read_bytes()).hexdigest()
    torch.testing.assert_close(weights(again), second, rtol=0, atol=0)


@pytest.mark.long
def test_the_chain_of_the_guides(in_this_process, settings, tmp_path):
    (command,) = (command for command in commands("video-panda chain") if "scale/paper" not in command)
    quick = [setting for setting in settings if "global_batch" not in setting and "max_epochs" not in setting]
    chain.main([*shlex.split(command), *quick, f"--runs={tmp_path}"])
    assert [Path(call[0]).name for call in in_this_process] == ["full.yaml"] * 3
    assert (tmp_path / "full+instruct" / "seed_0" / "answers" / "test.jsonl").is_file()


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (["gone.yaml"], r"error: --stages names gone\.yaml, which does not exist"),
        (
            [chain.STAGES[0], f"{chain.STAGES[0]}+{EXPERIMENT[0]}"],
            r"error: --stages has two stages called align; a stage",
        ),
        ([",".join(chain.STAGES[:2])], r"error: --stages has alternatives, .*; a chain has one"),
    ],
)
def test_stages_that_are_wrong(tmp_path, capsys, stages, message):
    with pytest.raises(SystemExit):
        chain.main(["--config", *EXPERIMENT, f"--runs={tmp_path}", "--stages", *stages])
    assert re.search(message, capsys.readouterr().err) and not list(tmp_path.iterdir())


def test_a_chain_is_no_task_of_several(monkeypatch, capsys):
    monkeypatch.setenv("SLURM_PROCID", "1")
    with pytest.raises(SystemExit):
        chain.main(["--config", *EXPERIMENT])
    assert "error: video-panda chain is one process, and this is one of several tasks" in capsys.readouterr().err


@pytest.mark.long
def test_a_stage_that_fails_stops_the_chain_with_one_line(settings, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        chain.main(["--config=experiments/no_lste.yaml", "--stages=configs/stage/align.yaml", f"--runs={tmp_path}",
                    *settings, "--data.batch_size=3"])  # fmt: skip
    assert caught.value.code == 1
    assert "stage no_lste+align did not end well (status 1)" in capsys.readouterr().err
