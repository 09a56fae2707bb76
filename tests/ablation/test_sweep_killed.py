"""A sweep that is killed, at whatever moment, ends with every job trained once."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

STEPS = 12
JOBS = ["full+often/seed_0", "full+often/seed_1", "no_lste+often/seed_0", "no_lste+often/seed_1"]


@pytest.fixture
def sweep(tmp_path):
    """Start a sweep of two experiments and two seeds, two at a time, with a checkpoint after every step."""
    file = tmp_path / "often.yaml"
    often = [{"class_path": "LastCheckpoint", "init_args": {"every_n_steps": 1}}]
    trainer = {"max_epochs": STEPS // 2, "check_val_every_n_epoch": STEPS // 2, "log_every_n_steps": 1}
    file.write_text(json.dumps({"trainer": trainer | {"callbacks": often, "accelerator": "cpu"}}))
    words = ["experiments/no_lste.yaml", "experiments/full.yaml", "--seeds=2", "--jobs=2", "--name=killed",
             f"--runs={tmp_path / 'runs'}", f"--data.root={tmp_path / 'clips'}", "--data.train_clips=4",
             "--data.val_questions_per_family=1", "--data.test_questions_per_family=1", "--data.turns_per_record=9",
             "--data.batch_size=2", "--data.eval_batch_size=4", f"--config={file}"]  # fmt: skip
    started = []

    def start():
        log = (tmp_path / f"said.{len(started)}").open("w")
        process = subprocess.Popen(
            [sys.executable, "-m", "lightning", "sweep", *words], stdout=log, stderr=subprocess.STDOUT
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


def wait_for(path, process):
    until = time.monotonic() + 200
    while not path.exists():
        assert process.poll() is None, "ended before it was killed"
        assert time.monotonic() < until
        time.sleep(0.01)


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def trainings(runs):
    """Return the processes, of whatever parent, that train into `runs`."""
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    return [line for line in lines if f"--runs={runs}".encode() in line and b"\0fit\0" in line]


def test_a_sweep_that_is_killed_twice_trains_every_job_once_to_its_end(sweep, tmp_path):
    runs = tmp_path / "runs"
    first = sweep()
    checkpoint = runs / "no_lste+often" / "seed_0" / "checkpoints" / "last.ckpt"
    wait_for(checkpoint, first)  # in the midst of its training
    kill(first)
    time.sleep(0.5)
    assert not trainings(runs), "a run outlives its sweep"
    reached = torch.load(checkpoint, weights_only=True)["global_step"]
    assert 0 < reached < STEPS

    second = sweep()
    unfinished = runs / "no_lste+often" / "seed_1"
    wait_for(unfinished, second)  # before its first checkpoint
    kill(second)
    assert not (unfinished / "checkpoints").exists()

    assert sweep().wait(timeout=200) == 0
    for job in JOBS:
        assert json.loads((runs / job / "summary.json").read_text())["steps"] == STEPS
        assert torch.load(runs / job / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == STEPS
    assert sorted(str(path.relative_to(runs)) for path in runs.glob("*/seed_*")) == JOBS  # no second attempts
    events = [json.loads(line) for line in (runs / "sweeps" / "killed" / "jobs.jsonl").read_text().splitlines()]
    assert Counter(event["job"] for event in events if event["event"] == "finished") == dict.fromkeys(JOBS, 1)
    ways = {job: [event["event"] for event in events if event["job"] == job][1:] for job in JOBS}
    assert ways["no_lste+often/seed_0"] == ["begun", "continued", "finished"]
    assert ways["no_lste+often/seed_1"] == ["begun", "begun", "finished"]
    with (runs / "no_lste+often" / "seed_0" / "metrics.csv").open() as file:
        trained = [int(row["step"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert len(trained) == STEPS - reached
