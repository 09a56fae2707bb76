"""A sweep that adds seeds until its rows are decided: what it trains, when it stops, and that a kill changes nothing."""

import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from ablation.comparing.decisions import read
from ablation.sweep import command as sweep_command
from ablation.sweep import runner, training
from lightning_modules.cli import main
from tests.ablation.comparing.run_folders import config

PRETENDED = str(Path(__file__).with_name("pretended_answers.py"))
USUAL = ("--until=decided", "--smallest=7.5", "--max-seeds=6")


def settings(job, name):
    return config(job.seed, local_encoding=name) | {"test_after_fit": not job.prefix}


@pytest.fixture(autouse=True)
def pretended(monkeypatch):
    """Let trainings take no time, and their configurations be those of the folders that they leave."""
    monkeypatch.setattr(runner, "POLL", 0.01)
    monkeypatch.setattr(training, "command", lambda words: [sys.executable, PRETENDED, *words])
    monkeypatch.setattr(sweep_command, "configuration", lambda job: settings(job, job.name.partition("+")[0]))
    monkeypatch.setattr(sweep_command, "steps_of", lambda jobs: ({job.id: 10 for job in jobs}, []))


@pytest.fixture
def sweep(tmp_path, capsys):
    """Sweep over experiments of these names; returns the exit status and what is printed."""

    def run(*names, flags=USUAL, runs=tmp_path / "runs"):
        for name in names:
            (tmp_path / f"{name}.yaml").write_text("test_after_fit: true")
        status = 0
        try:
            main(["sweep", *(f"{tmp_path / name}.yaml" for name in names), f"--runs={runs}", "--name=table", *flags])
        except SystemExit as ended:
            status = ended.code
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return status, printed.out + printed.err

    return run


def seeds(runs):
    """Return experiment -> how many of its runs are finished."""
    return dict(Counter(path.parts[-3] for path in runs.glob("*/seed_*/summary.json")))


ROWS = ("full", "worse", "same", "between")


def begun(runs):
    """Return the jobs that were begun, in their order."""
    lines = (runs / "sweeps/table/jobs.jsonl").read_text().splitlines()
    return [event["job"] for event in map(json.loads, lines) if event["event"] == "begun"]


def test_rows_get_seeds_until_they_are_decided_and_nothing_is_decided_twice(sweep, tmp_path, capsys):
    runs = tmp_path / "runs"
    status, said = sweep(*ROWS)
    assert status == 0 and seeds(runs) == {"full": 6, "worse": 3, "same": 3, "between": 6}
    # Seed by seed, the baseline first, and then with what is open alone.
    assert begun(runs)[:5] == ["full/seed_0", "worse/seed_0", "same/seed_0", "between/seed_0", "full/seed_1"]
    assert begun(runs)[12:14] == ["full/seed_3", "between/seed_3"]
    assert "look 1    worse: worse at look 1, with 3 seeds: p 2.3e-06 against 0.013, difference -17.8 [-24.9," in said
    assert "3 of 3 rows are decided, after 4 looks" in said
    before = (runs / "sweeps/table/looks.json").read_bytes()
    status, again = sweep(*ROWS)
    assert status == 0 and "begins" not in again and "look 5" not in again
    assert again.partition("\n\n")[2].split(";")[0] == said.partition("\n\n")[2].split(";")[0]
    assert (runs / "sweeps/table/looks.json").read_bytes() == before
    page = tmp_path / "page.html"
    main(["compare", str(runs), "--html", str(page)])
    compared = capsys.readouterr().out
    line = next(each for each in compared.splitlines() if each.startswith("| worse"))
    assert "-17.8 [-24.9, -10.6] | < 0.001 |" in line and line.split("|")[6].strip().startswith("3: ")
    same = next(each for each in compared.splitlines() if each.startswith("| same"))
    assert "| not distinguishable |" in same
    cost = "worse: worse at look 1, with 3 seeds: p 2.3e-06 against 0.013, difference -17.8 [-24.9, -10.6]; 3 runs, 4.5"
    assert f"- {cost} minutes" in compared and "- full: 6 runs, 9.0 minutes" in compared
    assert "p is corrected for looks at 3 to 6 seeds too" in compared
    assert "<h2>When rows were decided</h2>" in page.read_text() and f"<li>{cost}" in page.read_text()
    # Another baseline is another question, which the sweep did not decide: levels of looks hold all the same.
    main(["compare", str(runs), "--baseline", "worse"])
    other = capsys.readouterr().out
    assert "when rows were decided" not in other and "p is corrected for looks at 3 to 6 seeds too" in other


def test_a_sweep_that_is_killed_at_any_moment_comes_to_the_same_verdicts(sweep, tmp_path):
    sweep(*ROWS, runs=tmp_path / "whole")
    runs = tmp_path / "runs"
    journal, looks = runs / "sweeps/table/jobs.jsonl", runs / "sweeps/table/looks.json"

    def lines():
        return len(journal.read_bytes().splitlines()) if journal.exists() else 0

    moments = [
        lambda: lines() > 3,  # in the midst of the first runs
        lambda: lines() > 30,
        looks.exists,  # a row is decided
        lambda: read(looks.parent).looks == 3,
    ]
    for moment in moments:
        child = os.fork()
        if child == 0:
            sweep(*ROWS, flags=(*USUAL, "--jobs=2"))
            os._exit(0)
        until = time.monotonic() + 60
        while not moment() and time.monotonic() < until:
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL, "it ended before it was killed"
        print(lines())
    assert seeds(runs)["full"] < 6
    assert sweep(*ROWS)[0] == 0
    assert looks.read_bytes() == (tmp_path / "whole/sweeps/table/looks.json").read_bytes()
    assert seeds(runs) == seeds(tmp_path / "whole")


def test_seeds_that_fail_are_gone_without_and_a_row_that_never_trains_is_given_up(sweep, tmp_path):
    runs = tmp_path / "runs"
    status, said = sweep("full", "never", "once", flags=(*USUAL, "--retries=0"))
    assert status == 1 and seeds(runs) == {"full": 3, "once": 3}
    assert "1 of 2 rows are decided, after 1 look" in said and "- once: not distinguishable at look 1" in said
    assert read(runs / "sweeps/table").rows["once"].seeds == (0, 2, 3)
    assert "- never: not looked at; 2 seeds of never failed" in said
    assert "without once/seed_1, which failed: status 1" in said
    # A run without answers is none; nor is a table whose baseline never trains.
    (runs / "full/seed_1/answers/test.jsonl").unlink()
    (runs / "full/seed_2/answers/test.jsonl").unlink()
    status, said = sweep("full", "once", flags=(*USUAL, "--name=other"))
    assert status == 1 and "- once: not looked at; 2 seeds of full failed" in said
    assert "without full/seed_1, which failed: " in said and "there is no answers/test.jsonl" in said


def test_what_was_looked_at_is_not_asked_otherwise_afterwards(sweep, tmp_path, monkeypatch):
    runs = tmp_path / "runs"
    assert sweep("full", "worse")[0] == 0
    for names, flags, what in (
        (("full", "worse"), ("--until=decided", "--smallest=7.5"), "--max-seeds: 6 -> 12"),
        (("full", "worse"), ("--until=decided", "--max-seeds=6"), "--smallest: 7.5 -> 2"),
        (("full", "worse", "same"), USUAL, "rows: with same"),
        (("full", "same"), USUAL, "rows: with same; rows: without worse"),
    ):
        status, said = sweep(*names, flags=flags)
        assert status == 1 and f"looks.json is of another table, there -> here: {what}. Give what" in said
    monkeypatch.setattr(sweep_command, "configuration", lambda job: settings(job, "newer"))
    assert "other settings of full; other settings of worse" in sweep("full", "worse")[1]
    # Runs of an older recipe are refused whatever the sweep is called.
    status, said = sweep("full", "worse", flags=(*USUAL, "--name=newer"))
    assert status == 1 and "full/seed_0 was trained with other settings, there -> here: model.encoder" in said
    (runs / "sweeps/table/looks.json").write_text("{")
    assert "looks.json is no record of what a sweep has decided" in sweep("full", "worse")[1]


def test_answers_to_other_questions_in_the_same_runs_are_not_compared(sweep, tmp_path):
    runs = tmp_path / "runs"
    sweep("full", "worse", flags=(*USUAL, "--dry-run"))
    assert not runs.exists()
    sweep("full", "worse")
    scores = runs / "worse/seed_0/answers/test_scores.json"
    scores.write_text(scores.read_text().replace("b" * 64, "c" * 64))
    status, said = sweep("full", "worse", flags=(*USUAL, "--name=again"))
    assert status == 1 and "finished runs of this table cannot be compared: data manifest: cccc" in said
