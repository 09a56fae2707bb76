"""A sweep that adds seeds until its rows are decided: what it trains, when it stops, what it survives."""

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
from ablation.sweep.jobs import Job
from ablation.sweep.journal import Journal
from ablation.sweep.state import Plan
from ablation.sweep.until_decided import Until, UntilDecided
from lightning_modules.cli import main
from tests.ablation.comparing.run_folders import config, rows, write_run

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
    status, output = sweep(*ROWS)
    assert status == 0 and seeds(runs) == {"full": 6, "worse": 3, "same": 3, "between": 6}
    # Seed by seed, the baseline two ahead, and then what is open alone.
    assert begun(runs)[:6] == [*(f"full/seed_{seed}" for seed in range(3)), *(f"{name}/seed_0" for name in ROWS[1:])]
    assert begun(runs)[14:] == ["full/seed_5", "between/seed_3", "between/seed_4", "between/seed_5"]
    cost = (
        "worse: worse at look 1, with 3 seeds against 5: p 2.6e-06 against 0.0063, difference -17.6 [-25.6, -9.6];"
        " 3 runs, 4.5 minutes"
    )
    assert f"looked    {cost}" in output and f"- {cost}" in output
    assert "3 of 3 rows are decided, after 4 looks" in output
    before = (runs / "sweeps/table/looks.json").read_bytes()
    status, again = sweep(*ROWS)
    assert status == 0 and "begins" not in again and "looked " not in again
    assert again.partition("\n\n")[2].split(";")[0] == output.partition("\n\n")[2].split(";")[0]
    assert (runs / "sweeps/table/looks.json").read_bytes() == before
    page = tmp_path / "page.html"
    main(["compare", str(runs), "--html", str(page)])
    compared = capsys.readouterr().out
    line = next(line for line in compared.splitlines() if line.startswith("| worse"))
    assert "-17.6 [-25.6, -9.6] | < 0.001 |" in line and line.split("|")[6].strip().startswith("3: ")
    same = next(line for line in compared.splitlines() if line.startswith("| same"))
    assert "| not distinguishable |" in same
    assert f"- {cost}" in compared and "- full: 6 runs, 9.0 minutes" in compared
    assert "p is corrected for looks at 3 to 6 seeds too" in compared
    assert "<h2>When rows were decided</h2>" in page.read_text() and f"<li>{cost}" in page.read_text()
    # Another baseline is another question, which the sweep did not decide: levels of looks hold all the same.
    main(["compare", str(runs), "--baseline", "worse"])
    other = capsys.readouterr().out
    assert "when rows were decided" not in other and "p is corrected for looks at 3 to 6 seeds too" in other


@pytest.mark.long
def test_a_sweep_that_is_killed_at_any_moment_comes_to_the_same_verdicts(sweep, tmp_path):
    sweep(*ROWS, runs=tmp_path / "whole")
    runs = tmp_path / "runs"
    journal, looks = runs / "sweeps/table/jobs.jsonl", runs / "sweeps/table/looks.json"

    def lines():
        return len(journal.read_bytes().splitlines()) if journal.exists() else 0

    moments = [
        (signal.SIGKILL, lambda: lines() > 3),  # in the midst of the first runs
        (signal.SIGINT, lambda: lines() > 12),
        (signal.SIGKILL, lambda: lines() > 30),
        (signal.SIGKILL, looks.exists),  # a row is decided
        (signal.SIGKILL, lambda: read(looks.parent).looks == 3),
    ]
    for number, moment in moments:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job is deaf to it
            os._exit(sweep(*ROWS, flags=(*USUAL, "--jobs=2"))[0])
        until = time.monotonic() + 60
        while not moment() and time.monotonic() < until:
            time.sleep(0.002)
        os.kill(child, number)
        ended = os.waitpid(child, 0)[1]
        assert ended == number or os.waitstatus_to_exitcode(ended) == 128 + number, "it ended before it was stopped"
    assert seeds(runs)["between"] < 6
    assert sweep(*ROWS)[0] == 0
    assert looks.read_bytes() == (tmp_path / "whole/sweeps/table/looks.json").read_bytes()
    assert seeds(runs) == seeds(tmp_path / "whole")


def test_seeds_that_fail_are_gone_without_and_a_row_that_never_trains_is_given_up(sweep, tmp_path):
    runs = tmp_path / "runs"
    status, output = sweep("full", "never", "once", flags=(*USUAL, "--retries=0"))
    assert status == 1 and seeds(runs) == {"full": 5, "once": 3}
    assert "1 of 2 rows are decided, after 1 look" in output and "- once: not distinguishable at look 1" in output
    assert read(runs / "sweeps/table").rows["once"].seeds == (0, 2, 3)
    assert "- never: not looked at; 2 seeds of never failed" in output
    assert "without once/seed_1, which failed: status 1" in output
    # A run without answers is none; nor is a table whose baseline never trains.
    (runs / "full/seed_1/answers/test.jsonl").unlink()
    (runs / "full/seed_2/answers/test.jsonl").unlink()
    status, output = sweep("full", "once", flags=(*USUAL, "--name=other"))
    assert status == 1 and "- once: not looked at; 2 seeds of full failed" in output
    assert "without full/seed_1, which failed: " in output and "there is no answers/test.jsonl" in output


def test_what_was_looked_at_is_not_asked_otherwise_afterwards(sweep, tmp_path, monkeypatch):
    runs = tmp_path / "runs"
    assert sweep("full", "worse")[0] == 0
    for names, flags, what in (
        (("full", "worse"), ("--until=decided", "--smallest=7.5"), "--max-seeds: 6 -> 12"),
        (("full", "worse"), ("--until=decided", "--max-seeds=6"), "--smallest: 7.5 -> 2"),
        (("full", "worse", "same"), USUAL, "rows: with same"),
        (("full", "same"), USUAL, "rows: with same; rows: without worse"),
    ):
        status, output = sweep(*names, flags=flags)
        assert status == 1 and f"looks.json is of another table, there -> here: {what}. Give what" in output
    monkeypatch.setattr(sweep_command, "configuration", lambda job: settings(job, "newer"))
    assert "other settings of full; other settings of worse" in sweep("full", "worse")[1]
    # Runs of an older recipe are refused whatever the sweep is called.
    status, output = sweep("full", "worse", flags=(*USUAL, "--name=newer"))
    assert status == 1 and "/seed_0 was trained with other settings, there -> here: model.encoder" in output
    (runs / "sweeps/table/looks.json").write_text("{")
    assert "looks.json is not a record of a sweep's decisions" in sweep("full", "worse")[1]


def test_answers_to_other_questions_in_the_same_runs_are_not_compared(sweep, tmp_path):
    runs = tmp_path / "runs"
    sweep("full", "worse", flags=(*USUAL, "--dry-run"))
    assert not runs.exists()
    sweep("full", "worse")
    scores = runs / "worse/seed_0/answers/test_scores.json"
    scores.write_text(scores.read_text().replace("b" * 64, "c" * 64))
    status, output = sweep("full", "worse", flags=(*USUAL, "--name=again"))
    assert status == 1 and "finished runs of this table cannot be compared: data manifest: cccc" in output


@pytest.mark.long
def test_a_dry_run_says_what_is_left_as_far_as_it_is_known(sweep, tmp_path):
    runs = tmp_path / "runs"
    dry = (*USUAL, "--dry-run", "--jobs=2")
    output = sweep(*ROWS, flags=dry)[1]
    assert (
        "at least: 14 runs, if the next look" in output and "at most: 24 runs, if nothing is decided before 6" in output
    )
    assert "expected: not known before the first look" in output and "how long a run takes is not known" in output
    sweep(*ROWS, flags=("--until=decided", "--smallest=7.5", "--max-seeds=3"))
    (runs / "sweeps/table/looks.json").unlink()
    output = sweep(*ROWS, flags=(*dry, "--budget=1h"))[1]  # what is finished is as good as new
    assert "at least: 2 runs, about " in output and "budget: 1 h 00 min of 1 h 00 min are left" in output
    assert sweep(*ROWS)[0] == 0
    assert "nothing is left to do" in sweep(*ROWS, flags=dry)[1]


def test_what_is_expected_is_where_the_intervals_narrow_to(sweep, tmp_path):
    sweep(*ROWS, flags=(*USUAL, "--budget=1s"))  # is spent at some time
    sweep(*ROWS)
    looks = tmp_path / "runs/sweeps/table/looks.json"
    content = json.loads(looks.read_text())
    row = content["rows"]["between"]
    row["seeds"], row["cells"]["all"]["word"] = [0, 1, 2], "too few data"
    row["cells"]["all"] |= {"difference": -0.04, "low": -0.085, "high": 0.005}  # 3 x (4.5 / 4) ^ 2, rounded up
    looks.write_text(json.dumps(content))
    for seed in (3, 4, 5):
        (tmp_path / f"runs/between/seed_{seed}/summary.json").unlink()
    output = sweep(*ROWS, flags=(*USUAL, "--dry-run"))[1]
    assert "at least: 1 run," in output and "expected: 1 run," in output and "at most: 3 runs," in output
    row["cells"]["all"] |= {"low": -0.091, "high": 0.011}  # 3 x (5.1 / 4) ^ 2
    looks.write_text(json.dumps(content))
    assert "expected: 2 runs," in sweep(*ROWS, flags=(*USUAL, "--dry-run"))[1]


def test_a_budget_plans_nothing_that_is_not_expected_to_fit(sweep, tmp_path):
    runs = tmp_path / "runs"
    journal = Journal(runs / "sweeps/table")
    journal.open()
    jobs = [Job(name, seed, ()) for seed in range(5) for name in ROWS]
    plan = Plan(runs, lambda job: settings(job, job.name))

    def planned(minutes, at_once=1):
        until = Until(5, 7.5, 60.0 * minutes)
        following = UntilDecided(jobs, until, plan, journal, at_once).next()
        return [job.id for job in following.jobs], [*following.rows], [*following.why]

    # As long as nobody knows how long a run takes, no more are begun than run at a time.
    assert planned(1, at_once=2) == (["full/seed_0", "full/seed_1"], ["worse", "same", "between"], [])
    both = [2] * 51 + [1] * 6 + [0] * 3
    write_run(runs, "full", 0, rows(both), settings=settings(jobs[0], "full"))
    at = "2026-01-01T10:{}:00Z"
    lines = [("begun", "00"), ("failed", "02"), ("begun", "10"), ("begun", "20"), ("finished", "28")]  # 10 are known of
    events = [{"job": "full/seed_0", "event": event, "at": at.format(minute)} for event, minute in lines]
    journal.path.write_text("".join(json.dumps(event) + "\n" for event in events))
    assert planned(10) == planned(79) == ([], [], ["worse", "same", "between"])
    batch = ["full/seed_1", "full/seed_2", "worse/seed_0"]
    assert planned(80) == planned(109) == (batch, ["worse"], ["same", "between"])  # four of full and three of a row
    assert planned(110)[1:] == (["worse", "same"], ["between"])
    assert planned(50, at_once=2)[1:] == planned(80)[1:] and planned(80, at_once=2)[1] == ["worse", "same", "between"]
    status, output = sweep(*ROWS, flags=("--until=decided", "--smallest=7.5", "--max-seeds=5", "--budget=10min"))
    assert status == 0 and output.count("not looked at; no further seed is expected to fit into the budget") == 3
    assert "0 of 3 rows are decided, after 0 looks" in output and seeds(runs) == {"full": 1}
    assert "this sweep trained for 10 min" in output


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--max-seeds=6",), "--max-seeds goes with --until decided, which is not given"),
        (("--budget=2h",), "--budget goes with --until decided"),
        (("--until=decided", "--seeds=3"), "--seeds does not go with --until decided, which takes seeds 0, 1, ..."),
        (("--until=decided", "--slurm=time=3"), "--until decided looks at runs before it trains others, which --slurm"),
        (("--until=decided", "--max-seeds=2"), "--max-seeds is 2; the first look is at 3 seeds"),
        (("--until=decided", "--smallest=0"), "--smallest is 0; it must be between 0 and 100"),
        (("--until=decided", "--budget=soon"), "--budget is 'soon'; it must be a time such as 2h"),
        (("--until=decided", "--budget=0h"), "--budget is '0h'; it must be a time"),
    ],
)
def test_flags_that_do_not_go_together(sweep, tmp_path, flags, message):
    status, output = sweep("full", "worse", flags=flags)
    assert status == 1 and message in output and not (tmp_path / "runs").exists()


def test_one_experiment_or_runs_without_a_test_are_refused(sweep, tmp_path, monkeypatch):
    output = sweep("full")[1]
    assert "--until decided compares the rows of a sweep, and there is full only: name a second" in output
    monkeypatch.setattr(sweep_command, "configuration", lambda job: {**config(job.seed), "test_after_fit": False})
    assert "full has test_after_fit: false, and --until decided needs the answers" in sweep("full", "worse")[1]


def test_chains_and_what_is_set_are_rows_too(sweep, tmp_path):
    for name in ("first", "last"):
        (tmp_path / f"{name}.yaml").write_text("test_after_fit: true")
    stages = ["--stages", f"{tmp_path}/first.yaml", f"{tmp_path}/last.yaml"]
    status, output = sweep("full", "worse", flags=(*stages, *USUAL, "--jobs=2"))
    assert status == 0 and "1 of 1 rows are decided" in output and "full+last" in output
    assert seeds(tmp_path / "runs") == {f"{row}+{stage}": 5 if row == "full" else 3 for row in ("full", "worse")
                                        for stage in ("first", "last")}  # fmt: skip
    output = sweep("full", flags=(*USUAL, "--set=data.batch_size=4,8", "--dry-run"))[1]
    assert "2 rows, seeds 0 to at most 5" in output
