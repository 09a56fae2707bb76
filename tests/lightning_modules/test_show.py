"""What is kept of a run's history, and `video-panda show`."""

import json

import pytest

from lightning_modules.show import history, shown
from tests.lightning_modules.short_run import NO_LSTE, SHORT


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


@pytest.mark.parametrize("line", ["{", '{"ended": 1}', "[]", '{"began": 1}\n{"work": 2}'])
def test_a_history_that_is_none(tmp_path, line):
    (tmp_path / "history.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match=r"history\.jsonl, line \d is not one of a history"):
        history(tmp_path)


def test_a_folder_that_is_no_run(fails, tmp_path):
    status, error = fails("show", str(tmp_path))
    assert status == 1 and "is not a run folder: it has no config.yaml" in error


def test_changes_of_the_code_are_kept_as_a_patch(monkeypatch, run):
    monkeypatch.setattr("lightning_modules.callbacks.run_history.uncommitted", lambda file: "a patch")
    environment = {"code": {"commit": "0" * 40, "changed": True}, "versions": {}, "device": "cpu", "processes": 1,
                   "precision": "32-true"}  # fmt: skip
    monkeypatch.setattr("lightning_modules.callbacks.run_history.environment", lambda trainer: environment)
    cli = run("test", *NO_LSTE)
    assert (cli.folder / "uncommitted.diff").read_text() == "a patch"
    assert "and changes" in "\n".join(shown(cli.folder))
