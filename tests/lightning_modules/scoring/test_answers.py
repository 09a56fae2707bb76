"""Answers of a test: each question once, whoever answers it, however often the test is killed."""

import csv
import json
import logging
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lightning import Callback

from lightning_modules.scoring.answer_store import AnswerStore, read_rows
from tests.lightning_modules.short_run import NO_LSTE
from tests.lightning_modules.two_ranks import run_two


class KillsItself(Callback):
    """Ends the process as `kill -9` does, before the answers of a batch are written."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        if batch_idx + 1 == self.batches:
            os.kill(os.getpid(), signal.SIGKILL)


def rows(folder):
    return [json.loads(line) for line in (folder / "answers" / "test.jsonl").read_text().splitlines()]


def scores(folder):
    with (folder / "metrics.csv").open() as file:
        return {
            key: float(value)
            for row in csv.DictReader(file)
            for key, value in row.items()
            if key.startswith(("test/exact_match", "test/log_likelihood")) and value
        }


class FillsTheDisk(Callback):
    """From one batch on, no file grows further than the answers would with half of one more."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        if batch_idx + 1 == self.batches:
            answers = Path(trainer.log_dir) / "answers" / "test.jsonl"
            _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (answers.stat().st_size + 50, most))


@pytest.fixture
def asked(finished, tiny):
    """A test of a trained run, in batches of three."""
    rest = [argument for argument in tiny if not argument.startswith("--data.eval_batch_size")]
    checkpoint = finished.folder / "checkpoints" / "last.ckpt"
    return ["test", *NO_LSTE, *rest, "--data.eval_batch_size=3", f"--ckpt_path={checkpoint}"]


def by_id(folder):
    stored = rows(folder)
    assert len({row["id"] for row in stored}) == len(stored) == 9
    assert all(row["log_likelihood"] <= 0 for row in stored)
    # The size of a batch may change the last digits.
    return {row["id"]: row | {"log_likelihood": pytest.approx(row["log_likelihood"], abs=1e-5)} for row in stored}


@pytest.mark.long
def test_a_test_that_was_killed_goes_on_with_another_number_of_processes(run, asked, tmp_path):
    whole = run(*asked)
    settings = tmp_path / "kill.yaml"
    callback = {"class_path": "tests.lightning_modules.scoring.test_answers.KillsItself", "init_args": {"batches": 2}}
    settings.write_text(json.dumps({"trainer": {"callbacks": [callback]}}))
    command = [sys.executable, "-m", "lightning", *asked, f"--config={settings}", f"--runs={tmp_path / 'killed'}"]
    killed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    (folder,) = (tmp_path / "killed").glob("*/test_seed_0")
    assert rows(folder) == [by_id(whole.folder)[row["id"]] for row in rows(folder)]
    # So that a score shows whether they were asked again; then as a kill in the middle of writing leaves it.
    before = [row | {"right": True} for row in rows(folder)]
    assert len(before) == 3
    (folder / "answers" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in before) + '{"id": "half a')
    status, output = run_two(*asked, f"--continue_answers={folder}", "--trainer.strategy=ddp")
    assert status == [0, 0]
    assert "ends in the middle of an answer" in output[0]
    assert rows(folder)[:3] == before
    assert by_id(folder) == by_id(whole.folder) | {row["id"]: row for row in before}
    assert sorted(path.name for path in (folder / "answers").iterdir()) == [
        "test.by.json", "test.jsonl", "test_scores.json"
    ]  # fmt: skip
    of_all = json.loads((folder / "answers" / "test_scores.json").read_text())
    assert of_all["counts"]["questions"] == of_all["counts"]["answered"] == 9
    assert (of_all["provenance"]["answered_before"], of_all["provenance"]["processes"]) == (3, 2)
    logged = {name: value for name, value in scores(folder).items() if "exact_match" in name}  # of one video
    assert {f"test/{name}": score["value"] for name, score in of_all["scores"].items()} == pytest.approx(logged)
    right = {f"test/exact_match/{row['family']}": 1.0 for row in before}
    assert scores(folder) == pytest.approx(scores(whole.folder) | right | {"test/exact_match/mean": 3 / 9}, abs=1e-5)


@pytest.mark.long
def test_a_disk_that_fills_is_one_line_and_the_test_goes_on(run, fails, asked, tmp_path, files_end_at):
    whole = run(*asked)
    settings = tmp_path / "fill.yaml"
    callback = {"class_path": "tests.lightning_modules.scoring.test_answers.FillsTheDisk", "init_args": {"batches": 2}}
    settings.write_text(json.dumps({"trainer": {"callbacks": [callback]}}))
    with files_end_at(resource.RLIM_INFINITY):  # until the callback says otherwise
        status, error = fails(*asked, f"--config={settings}", f"--runs={tmp_path / 'full'}")
    (folder,) = (tmp_path / "full").glob("*/test_seed_0")
    file = folder / "answers" / "test.jsonl"
    assert status == 1
    assert error.splitlines()[-1] == (
        f"error: {file} cannot be written: File too large; answers so far are kept, and a test or prediction goes on "
        f"from them with --continue_answers={folder}"
    )
    kept = read_rows(file)
    assert len(kept) == 3 and not file.read_bytes().endswith(b"\n")
    again = run(*asked, f"--continue_answers={folder}")
    assert again.folder == folder and rows(folder)[:3] == kept
    assert by_id(folder) == by_id(whole.folder) and scores(folder) == pytest.approx(scores(whole.folder), abs=1e-5)


@pytest.mark.long
def test_control_c_says_how_to_go_on_and_loses_no_answer(run, asked, capsys, monkeypatch):
    from lightning_modules.video_language import VideoLanguageModel

    def interrupted(self, batch, batch_idx):
        if batch_idx == 1:
            raise KeyboardInterrupt
        return original(self, batch, batch_idx)

    original = VideoLanguageModel.test_step
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(VideoLanguageModel, "test_step", interrupted)
        run(*asked)
    folder = capsys.readouterr().err.rsplit("the same command goes on with --continue_answers=")[1].strip()
    first = [row["id"] for row in rows(Path(folder))]
    assert first
    again = run(*asked, f"--continue_answers={folder}")
    assert [row["id"] for row in rows(again.folder)][: len(first)] == first
    assert by_id(again.folder) == by_id(run(*asked).folder)


@pytest.mark.long
def test_a_batch_of_one_gives_the_same_answers(run, asked):
    whole = run(*asked)
    single = run(*[a for a in asked if "eval_batch_size" not in a], "--data.eval_batch_size=1")
    assert by_id(single.folder) == by_id(whole.folder)
    assert scores(single.folder) == pytest.approx(scores(whole.folder), abs=1e-5)


@pytest.mark.long
def test_all_answered_is_a_test_too(run, asked, caplog):
    whole = run(*asked)
    before = rows(whole.folder)
    with caplog.at_level(logging.INFO):
        again = run(*asked, f"--continue_answers={whole.folder}")
    assert again.folder == whole.folder and rows(whole.folder) == before
    assert "9 questions are answered already" in caplog.text
    kept = {name: float(value) for name, value in whole.summary.figures.items() if name in scores(whole.folder)}
    assert scores(whole.folder) == pytest.approx(kept) and len(kept) == 2 * (9 + 1)


@pytest.mark.long
def test_what_cannot_be_continued_is_refused(run, fails, asked, tmp_path):
    whole = run(*asked)
    runs = f"--runs={tmp_path / 'runs'}"
    status, error = fails(*asked, runs, f"--continue_answers={tmp_path}")
    assert status == 1 and "is no folder in which a test began to answer" in error
    status, error = fails("fit", *asked[1:-1], runs, f"--continue_answers={whole.folder}")
    assert status == 1 and "continue_answers goes with test and predict, not with fit" in error
    before = rows(whole.folder)
    status, error = fails(*asked, runs, f"--continue_answers={whole.folder}", "--model.max_new_tokens=2")
    assert status == 1 and "was answered otherwise, there -> here: model.max_new_tokens: 4 -> 2" in error
    checkpoint = Path(asked[-1].partition("=")[2])
    os.utime(checkpoint, (1, 1))
    status, error = fails(*asked, runs, f"--continue_answers={whole.folder}")
    assert status == 1 and "checkpoint_written" in error
    assert rows(whole.folder) == before
    status, error = fails(*asked[:-1], runs, f"--continue_answers={whole.folder}", f"--init_from={checkpoint}")
    assert status == 1 and f"init_from: - -> {checkpoint}" in error


def test_answers_by_another_model_are_put_aside(tmp_path):
    for steps in (1, 2, 3):
        store = AnswerStore(tmp_path, "test")
        store.begin({"steps": steps}, must_continue=False)
        assert store.answered() == {}
        store.append([{"id": "a", "steps": steps}])
        store.scores.write_text(f"{steps}")
    store.begin({"steps": 3}, must_continue=True)
    assert store.answered() == {"a": {"id": "a", "steps": 3}}
    assert [read_rows(tmp_path / f"test.{count}.jsonl")[0]["steps"] for count in (1, 2)] == [1, 2]
    assert [(tmp_path / f"test_scores.{count}.json").read_text() for count in (1, 2)] == ["1", "2"]


def test_answers_that_other_processes_have_left_are_put_aside_too(tmp_path):
    for steps in (1, 2):
        store, other = AnswerStore(tmp_path, "test"), AnswerStore(tmp_path, "test", rank=1)
        store.begin({"steps": steps}, must_continue=False)
        other.append([{"id": "a", "steps": steps}])
    store.begin({"steps": 3}, must_continue=False)
    store.append([{"id": "b", "steps": 3}])
    store.join()
    assert store.answered().keys() == {"b"}, "answers by another model are not joined"
    kept = [read_rows(tmp_path / f"test.rank_1.{number}.jsonl") for number in (1, 2)]
    assert [row["steps"] for (row,) in kept] == [1, 2]


def test_a_file_that_cannot_grow_is_named_wherever_answers_are_written(tmp_path, files_end_at):
    first, store = AnswerStore(tmp_path / "a" / "answers", "test"), AnswerStore(tmp_path / "b" / "answers", "test")
    store.begin({"by": "me"}, must_continue=False)
    store.append([{"id": "a"}])
    AnswerStore(store.folder, "test", rank=1).append([{"id": "b"}])
    for write, file in (
        (lambda: first.begin({"by": "me"}, must_continue=False), first.by),
        (lambda: store.append([{"id": "c"}]), store.path),
        (store.join, store.path),
    ):
        goes_on = f"--continue_answers={file.parent.parent}"
        with (
            files_end_at(5),
            pytest.raises(ValueError, match=f"{file} cannot be written: File too large; .*{goes_on}$"),
        ):
            write()
    store.begin({"by": "me"}, must_continue=True)
    assert list(store.answered()) == ["a", "b"]


def test_a_file_of_other_things_is_named(tmp_path):
    file = tmp_path / "test.jsonl"
    for content in (b"[1]\n", b"no\n", b'{"family": 1}\n', b"\xff\n"):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"test\.jsonl, line 1 is not an answer"):
            read_rows(file)


def test_a_test_whose_by_json_was_cut_goes_on_and_no_kill_cuts_it(tmp_path, files_end_at, caplog):
    store = AnswerStore(tmp_path / "answers", "test")
    store.begin({"by": "me"}, must_continue=False)
    whole = store.by.read_text()
    for cut in ("", whole[:8], "[]", "[" * 100_000):
        store.by.write_text(cut)
        store.begin({"by": "me"}, must_continue=True)
        assert store.by.read_text() == whole and f"{store.by} is damaged" in caplog.text
    for file in (store.path, AnswerStore(store.folder, "test", rank=1).own):
        file.write_text('{"id": "a"}\n')
        store.by.write_text(whole[:8])
        with pytest.raises(ValueError, match=r"test\.by\.json is damaged, so it is not known what the answers beside"):
            store.begin({"by": "me"}, must_continue=True)
        assert file.read_text() == '{"id": "a"}\n'
        store.begin({"by": "me"}, must_continue=False)
        assert store.answered() == {} and not file.exists(), "answers by nobody knows whom do not count"
    assert len(list(store.folder.glob("test*.jsonl"))) == 2, "and are put aside"
    with files_end_at(5), pytest.raises(ValueError, match="cannot be written"):
        store.begin({"by": "another"}, must_continue=False)
    assert not store.by.exists() or store.by.read_text() == whole
