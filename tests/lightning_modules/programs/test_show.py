"""What is kept of a run's history, and `video-panda show`."""

import json
import re
import shlex

import pytest
import torch

from lightning_modules.experiment_cli import ExperimentCLI
from lightning_modules.programs.show import history, shown
from lightning_modules.runs.checkout import STARTED_BY
from tests.lightning_modules.short_run import NO_LSTE, SHORT, losses


@pytest.mark.long
def test_a_training_and_its_test_are_two_works_with_code_device_and_end(run):
    cli = run("fit", *NO_LSTE, *SHORT, "--seed_everything=3")
    fit, test = history(cli.folder)
    assert (fit["work"], test["work"]) == ("fit", "test")
    assert (fit["step"], fit["last_step"], test["last_step"]) == (0, 4, 4)
    assert fit["how"] == test["how"] == "finished" and fit["began"] <= fit["ended"] <= test["began"]
    assert fit["experiment"] == "no_lste" and fit["seed"] == 3 and fit["device"].startswith("cpu")
    assert fit["versions"]["torch"] and (fit["code"] is None or len(fit["code"]["commit"]) == 40)
    text = "\n".join(shown(cli.folder))
    assert "LSTE -> NoLocalEncoding" in text and "finished at step 4" in text and "test/exact_match/mean" in text
    assert f"python -m lightning fit --config {cli.folder / 'config.yaml'}" in text


@pytest.mark.long
def test_a_run_that_was_interrupted_and_goes_on_has_both_works(run, tmp_path, monkeypatch):
    from lightning_modules.video_language import VideoLanguageModel

    def interrupted(self, batch, batch_idx):
        if self.global_step == 1:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    step, folder = VideoLanguageModel.training_step, tmp_path / "runs" / "no_lste" / "seed_0"
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(VideoLanguageModel, "training_step", interrupted)
        run("fit", *NO_LSTE, *SHORT)
    (only,) = history(folder)
    assert (only["how"], only["last_step"]) == ("interrupted", 1)
    run("fit", *NO_LSTE, *SHORT, "--test_after_fit=false", f"--ckpt_path={folder / 'checkpoints' / 'interrupted.ckpt'}")
    assert [(work["how"], work["last_step"]) for work in history(folder)] == [("interrupted", 1), ("finished", 4)]
    whole = [*losses(folder, "metrics.1.csv"), *losses(folder)]
    assert len(whole) == 4
    # Once more by the command that is shown, in a folder without anything, from the first step.
    (tmp_path / "clean").mkdir()
    monkeypatch.chdir(tmp_path / "clean")
    python, _, lightning, *words = shlex.split(shown(folder)[-1])
    assert (python, lightning) == ("python", "lightning")
    once_more = ExperimentCLI(words)
    assert once_more.folder == folder.with_name("seed_0.2") and losses(once_more.folder) == whole


@pytest.mark.long
def test_what_started_a_run_and_what_it_starts_from(run, finished, monkeypatch):
    monkeypatch.setenv(STARTED_BY, "sweep table_4, job no_lste/seed_0")
    monkeypatch.setenv("SLURM_JOB_ID", "13")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    checkpoint = finished.folder / "checkpoints" / "last.ckpt"
    second = run("fit", *NO_LSTE, "--trainer.max_steps=1", "--test_after_fit=false", f"--init_from={checkpoint}")
    first, text = "\n".join(shown(finished.folder)), "\n".join(shown(second.folder))
    assert "of sweep table_4, job no_lste/seed_0\n" in text and "in job 12_1 of SLURM\n" in text
    (samples,) = re.findall(rf"starts from {checkpoint}, samples (\w{{64}})", text)
    assert re.search(rf"last\.ckpt: \d+ tensors, samples {samples}\n", first)
    assert "sweep" not in first and "starts from" not in first and first.count("base weights of teacher: ") == 2


def test_a_failure_says_why(run, tmp_path, monkeypatch):
    def failing(self, batch, batch_idx):
        raise RuntimeError("the loss\nis no number")

    monkeypatch.setattr("lightning_modules.video_language.VideoLanguageModel.training_step", failing)
    with pytest.raises(RuntimeError):
        run("fit", *NO_LSTE, *SHORT)
    (work,) = history(tmp_path / "runs" / "no_lste" / "seed_0")
    assert work["how"] == "failed: RuntimeError: the loss is no number"


def test_what_was_killed_has_no_end(tmp_path):
    began = {"began": "2026-01-01T00:00:00+00:00", "work": "fit", "step": 0, "command": "fit", "seed": 0}
    began |= {"code": None, "processes": 1, "device": "cpu", "precision": "32-true", "versions": {}}
    began |= {"manifest_sha256": "ab"}
    (tmp_path / "config.yaml").write_text("{}")
    (tmp_path / "history.jsonl").write_text(json.dumps(began) + "\n")
    text = "\n".join(shown(tmp_path))
    assert "no end: it was killed, or runs still" in text and "none yet" in text and "data manifest ab" in text


BEGAN = {"began": "2026-01-01", "work": "fit", "step": 0, "command": "fit", "seed": 0, "code": None, "processes": 1,
         "device": "cpu", "precision": "32-true", "versions": {}, "manifest_sha256": ""}  # fmt: skip
ENDED = {"ended": "2026-01-02", "how": "finished", "step": 1, "frozen_sha256": "a"}


@pytest.mark.parametrize(
    "line",
    ["{", '{"ended": 1}', "[]", '{"began": 1}\n{"work": 2}', f"{json.dumps(BEGAN)}\n{json.dumps(ENDED)}"],
)
def test_a_history_that_is_none(tmp_path, line):
    (tmp_path / "history.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match=r"history\.jsonl, line \d is not one of a history"):
        history(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "history.jsonl",
            b'{"began": 1, "work": "fit", "code": []}\n',
            "history.jsonl, line 1 is not one of a history",
        ),
        ("history.jsonl", b"\xff\n", "history.jsonl cannot be read"),
        ("summary.json", b'{"steps": 1, "figures": {"a": "b"}}', "summary.json is no summary of a run"),
        ("summary.json", b"[]", "summary.json is no summary of a run"),
        ("checkpoints/last.ckpt", b"PK", "last.ckpt is not a checkpoint"),
    ],
)
def test_a_run_folder_with_other_things_in_it_is_one_line(fails, tmp_path, file, content, message):
    (tmp_path / "config.yaml").write_text("{}")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / file).write_bytes(content)
    status, error = fails("show", str(tmp_path))
    assert status == 1 and message in error and len(error.splitlines()) == 1


@pytest.mark.long
def test_a_run_is_shown_without_reading_its_tensors(run, fails, finished, tiny, capsys):
    """Also one whose training came to nothing, or that is damaged: it is for those who use its weights to refuse it."""
    file = finished.folder / "checkpoints" / "last.ckpt"
    content = torch.load(file, weights_only=True)
    content["state_dict"][next(iter(content["state_dict"]))].fill_(float("nan"))
    torch.save(content, file)
    text = shown(finished.folder)
    weights = rf"  last\.ckpt: {len(content['state_dict'])} tensors, samples \w{{64}}"
    assert any(re.fullmatch(weights, line) for line in text)
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    assert len(shown(finished.folder)) == len(text)
    for key in ("ckpt_path", "init_from"):
        status, error = fails("test", *NO_LSTE, *tiny, f"--{key}={file}")
        assert status == 1 and "is damaged: the checksum of" in error


def test_a_folder_that_is_no_run(fails, tmp_path):
    status, error = fails("show", str(tmp_path))
    assert status == 1 and "is not a run folder: it has no config.yaml" in error


def test_changes_of_the_code_are_kept_as_a_patch(monkeypatch, run):
    monkeypatch.setattr("lightning_modules.callbacks.run_history.uncommitted", lambda file: b"a patch")
    environment = {"code": {"commit": "0" * 40, "changed": True}, "versions": {}, "device": "cpu", "processes": 1,
                   "precision": "32-true"}  # fmt: skip
    monkeypatch.setattr("lightning_modules.callbacks.run_history.environment", lambda trainer: environment)
    cli = run("test", *NO_LSTE)
    assert (cli.folder / "uncommitted.diff").read_text() == "a patch"
    assert "and changes" in "\n".join(shown(cli.folder))
