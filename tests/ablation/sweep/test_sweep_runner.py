"""Jobs on this machine: how many at a time, what is tried again, what stops, and what is never done twice."""

import io
import json
import re
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from ablation.sweep import runner, training
from ablation.sweep.display import Board, LiveTable, Row
from ablation.sweep.jobs import Job
from ablation.sweep.journal import Journal, UnwritableError
from ablation.sweep.runner import Runner, shares
from ablation.sweep.state import Plan, Progress, progress
from ablation.sweep.training import job_lock

PRETENDED = str(Path(__file__).with_name("pretended_training.py"))


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(runner, "POLL", 0.02)
    monkeypatch.setattr(runner, "BUSY", 0.1)


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Return the runner of jobs, each with how its training is to go: `no_lste="fails"`."""

    def make(at_once=1, retries=1, name="sweep", **how):
        def command(words):
            called = next(word for word in words if word.startswith("--name=")).removeprefix("--name=")
            return [sys.executable, PRETENDED, how[called], *words]

        monkeypatch.setattr(training, "command", command)
        jobs = [Job(name, 0, (f"--name={name}", "--seed_everything=0", f"--runs={tmp_path}")) for name in how]
        journal = Journal(tmp_path / "sweeps" / name)
        journal.open()
        plan = Plan(tmp_path, lambda job: {}, journal.begun)
        return Runner(jobs, plan, journal, {job.id: 8 for job in jobs}, at_once, retries)

    return make


def trained(runs):
    return [json.loads(line) for line in (runs / "trained.jsonl").read_text().splitlines()]


def when(path, action):
    """Do something once a file is there, beside the sweep, which has this thread to itself."""

    def wait():
        while not path.exists():
            time.sleep(0.01)
        action()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_every_job_is_trained_and_what_is_finished_is_left_alone(sweep, tmp_path, capsys):
    first = sweep(at_once=2, a="finishes", b="finishes", c="finishes")
    outcome = first.run()
    assert sorted(outcome.finished) == ["a/seed_0", "b/seed_0", "c/seed_0"] and not outcome.failed
    starts = {row["job"]: row["at"] for row in trained(tmp_path)}
    assert starts["c"] - max(starts["a"], starts["b"]) > 0.2  # third of two at a time
    again = sweep(at_once=2, a="finishes", b="finishes", c="finishes", d="finishes").run()
    assert len(again.finished) == 4 and [row["job"] for row in trained(tmp_path)][3:] == ["d"]


def test_a_job_that_always_fails_blocks_no_other_and_its_last_words_are_said(sweep, tmp_path, capsys):
    outcome = sweep(a="fails", b="finishes").run()
    assert outcome.finished == ["b/seed_0"] and list(outcome.failed) == ["a/seed_0"]
    assert [row["job"] for row in trained(tmp_path)] == ["a", "b", "a"]  # tried again, behind the others
    output = capsys.readouterr().out
    assert "fails     a/seed_0: status 1; is tried again" in output
    assert "failed    a/seed_0: status 1 in try 2" in output and "| error: the batch is too large" in output
    log = tmp_path / "sweeps" / "sweep" / "logs" / "a+seed_0.log"
    assert str(log) in output and log.read_text().count("error: the batch is too large") == 2


def test_without_retries_a_failure_is_final(sweep, tmp_path):
    assert list(sweep(retries=0, a="fails").run().failed) == ["a/seed_0"]
    assert len(trained(tmp_path)) == 1


def test_a_job_that_fails_goes_on_from_its_checkpoint(sweep, tmp_path):
    assert sweep(a="fails_once").run().finished == ["a/seed_0"]
    checkpoint = tmp_path / "a" / "seed_0" / "checkpoints" / "last.ckpt"
    assert [row["from"] for row in trained(tmp_path)] == [None, str(checkpoint)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_all_runs_save_and_the_next_sweep_goes_on(sweep, tmp_path, number):
    jobs = {"a": "goes_on", "b": "goes_on", "c": "finishes"}
    # A background job is deaf to Ctrl-C, and one under nohup to SIGHUP.
    before = signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    try:
        first = sweep(at_once=2, **jobs)
        ready = [tmp_path / name / "seed_0" / "ready" for name in "ab"]
        when(ready[0], lambda: when(ready[1], lambda: signal.raise_signal(number)))
        outcome = first.run()
    finally:
        signal.signal(number, before)
    assert outcome.stopped_by == number and not outcome.finished and not outcome.failed
    assert len(trained(tmp_path)) == 2
    outcome = sweep(at_once=2, **jobs).run()
    assert len(outcome.finished) == 3 and not outcome.stopped_by
    assert {row["job"] for row in trained(tmp_path) if row["from"]} == {"a", "b"}


def test_a_second_signal_ends_them_at_once(sweep, tmp_path):
    ready = tmp_path / "a" / "seed_0" / "ready"

    def twice():
        signal.raise_signal(signal.SIGTERM)
        time.sleep(0.3)
        signal.raise_signal(signal.SIGTERM)

    when(ready, twice)
    began = time.monotonic()
    assert sweep(a="deaf").run().stopped_by == signal.SIGTERM
    assert time.monotonic() - began < 20
    assert sweep(a="finishes").run().finished == ["a/seed_0"]  # in the same folder, which has no checkpoint


def test_a_full_disk_stops_the_sweep_gently_with_one_line(sweep, tmp_path, files_end_at):
    first = sweep(at_once=2, a="goes_on", b="finishes_after_a")
    row = {"job": "a/seed_0", "event": "begun", "at": time.strftime("%FT%TZ"), "folder": f"{tmp_path}/a/seed_0"}
    both = 2 * len(json.dumps(row) + "\n")  # begin, and b cannot be noted as finished
    message = r"jobs\.jsonl cannot be written: .*; what is trained so far is kept"
    with pytest.raises(UnwritableError, match=message), files_end_at(both + 50):
        first.run()
    assert not first.running or all(run.training.process.poll() is not None for run in first.running)
    assert (tmp_path / "a" / "seed_0" / "checkpoints" / "last.ckpt").exists()
    outcome = sweep(at_once=2, a="goes_on", b="finishes").run()
    assert sorted(outcome.finished) == ["a/seed_0", "b/seed_0"]


def test_a_job_of_two_sweeps_is_trained_by_one_and_waited_for_by_the_other(sweep, tmp_path, capsys):
    job = Job("a", 0, ())
    elsewhere = job_lock(job, tmp_path)
    assert elsewhere.take()
    folder = tmp_path / "a" / "seed_0"

    def finish():
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text("{}")
        (folder / "summary.json").write_text("{}")
        elsewhere.release()

    when(tmp_path / "b" / "seed_0" / "summary.json", finish)
    outcome = sweep(a="finishes", b="finishes").run()
    assert sorted(outcome.finished) == ["a/seed_0", "b/seed_0"]
    assert [row["job"] for row in trained(tmp_path)] == ["b"]
    assert "waits     a/seed_0: it is trained by another process" in capsys.readouterr().out


def test_a_job_that_was_meanwhile_trained_with_other_settings_fails_alone(sweep, tmp_path):
    first = sweep(a="finishes", b="finishes")
    folder = tmp_path / "a" / "seed_0"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed_everything: 3")
    (folder / "summary.json").write_text("{}")
    outcome = first.run()
    assert outcome.finished == ["b/seed_0"]
    assert "trained with other settings" in outcome.failed["a/seed_0"]
    assert "seed_everything: 3 -> None" in outcome.failed["a/seed_0"]


def test_a_terminal_shows_how_far_every_run_is():
    rows = [Row("full/seed_0", 300, 1200, "train/loss 0.97", 300.0), Row("no_lste/seed_0", 0, None, "", None)]
    rows.append(Row("full+instruct/seed_0", 140, 470, "", None, "integrate"))
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120)
    with LiveTable(terminal) as shown:
        shown.say("begins    full/seed_0")
        shown.show(Board(rows, 3, 1, 12, 4020.0))
    output = terminal.file.getvalue()
    assert re.search(r"full/seed_0 +━━━━━ +step 300 of 1,200 +train/loss 0.97 +about 5 min left", output)
    assert re.search(r"no_lste/seed_0 +starts", output)
    assert re.search(r"full\+instruct/seed_0 +━+ +integrate: step 140 of 470", output)
    assert "3 finished, 3 running, 12 waiting, 1 failed; about 1 h 07 min left" in output
    assert output.index("begins    full/seed_0") < output.index("step 300")


def test_how_far_a_run_is_stands_in_its_metrics_also_of_earlier_tries(tmp_path):
    assert progress(tmp_path) == Progress()
    head = "step,train/loss,val/exact_match/mean,val/exact_match/colour\n"
    (tmp_path / "metrics.1.csv").write_text(f"{head}0,3.0,,\n1,,0.9,1\n")
    (tmp_path / "metrics.csv").write_text(f"{head}4,2.0,,\n5,,0.5,1\n6,1.")  # the last line is being written
    assert progress(tmp_path) == Progress(6, "val/exact_match/mean", 0.5, 0.9)
    assert progress(tmp_path).text() == "val/exact_match/mean 0.5 (best 0.9)"


def test_runs_at_a_time_share_the_cores_and_have_a_gpu_each(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(12)))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert shares(1) == [{}]
    assert shares(3) == [{"OMP_NUM_THREADS": "4"}] * 3
    assert shares(24)[0] == {"OMP_NUM_THREADS": "1"}
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [share["CUDA_VISIBLE_DEVICES"] for share in shares(3)] == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-abc")
    assert [share["CUDA_VISIBLE_DEVICES"] for share in shares(2)] == ["5", "GPU-abc"]
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert shares(2)[0]["OMP_NUM_THREADS"] == "7"


def test_a_line_that_a_kill_left_unfinished_is_cut_off_and_another_is_an_error(tmp_path):
    journal = Journal(tmp_path)
    journal.open()
    journal.append("a/seed_0", "begun", folder=tmp_path / "a")
    with journal.path.open("a") as file:
        file.write('{"job": "a/see')
    assert [event["event"] for event in journal.events()] == ["begun"]
    journal.open()
    journal.append("a/seed_0", "finished", folder=tmp_path / "a")
    assert [event["event"] for event in journal.events()] == ["begun", "finished"]
    whole = journal.path.read_text()
    for line in ("[]", '{"job": [], "event": "begun"}', '{"job": "a", "event": "begun", "folder": 1}', "[" * 100_000):
        journal.path.write_text(f"{whole}{line}\n")
        with pytest.raises(ValueError, match=r"jobs\.jsonl, line 3 is not an event of a sweep"):
            journal.events()
