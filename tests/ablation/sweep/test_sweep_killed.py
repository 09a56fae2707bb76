"""A sweep that is killed, at whatever moment, ends with every job, and every common stage, trained once."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from ablation.stage_record import read_record
from ablation.sweep.command import main
from tests.ablation.test_chain import SETTINGS

STEPS = 12
PATIENCE = 600  # seconds, for a busy machine
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
        log = (tmp_path / f"output.{len(started)}").open("w")
        process = subprocess.Popen(
            [sys.executable, "-m", "lightning", "sweep", *words], stdout=log, stderr=subprocess.STDOUT
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


def wait_for(path, process):
    until = time.monotonic() + PATIENCE
    while not path.exists():
        assert process.poll() is None, "ended before it was killed"
        assert time.monotonic() < until
        time.sleep(0.01)


def kill(process, runs):
    """Kill a sweep, and wait until its runs have ended too, which a busy machine takes a moment for."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until = time.monotonic() + PATIENCE
    while trainings(runs):
        assert time.monotonic() < until, "a run outlives its sweep"
        time.sleep(0.1)


def trainings(runs):
    """Return the processes, of whatever parent, that train into `runs`."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            lines.append(path.read_bytes())
    return [line for line in lines if f"--runs={runs}".encode() in line and b"\0fit\0" in line]


@pytest.mark.long
def test_a_sweep_that_is_killed_twice_trains_every_job_once_to_its_end(sweep, tmp_path):
    runs = tmp_path / "runs"
    job = runs / "no_lste+often" / "seed_0"
    checkpoint = job / "checkpoints" / "last.ckpt"
    first = sweep()
    wait_for(job, first)
    kill(first, runs)
    assert not checkpoint.exists(), "a run outlives its sweep"

    second = sweep()
    wait_for(checkpoint, second)
    kill(second, runs)
    reached = torch.load(checkpoint, weights_only=True)["global_step"]
    assert 0 < reached < STEPS, "a run outlives its sweep"

    for _ in ("the rest", "nothing"):
        assert sweep().wait(timeout=PATIENCE) == 0
    for name in JOBS:
        assert json.loads((runs / name / "summary.json").read_text())["steps"] == STEPS
        assert torch.load(runs / name / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == STEPS
    assert sorted(str(path.relative_to(runs)) for path in runs.glob("*/seed_*")) == JOBS  # no second attempts
    events = [json.loads(line) for line in (runs / "sweeps" / "killed" / "jobs.jsonl").read_text().splitlines()]
    assert Counter(event["job"] for event in events if event["event"] == "finished") == dict.fromkeys(JOBS, 1)
    ways = [event["event"] for event in events if event["job"] == "no_lste+often/seed_0"]
    assert ways == ["planned", "begun", "begun", "continued", "finished"]
    with (job / "metrics.csv").open() as file:
        trained = [int(row["step"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert len(trained) == STEPS - reached


@pytest.mark.long
def test_chains_that_are_killed_in_their_common_stage_train_it_once(tmp_path, capsys):
    runs, slow, often = tmp_path / "runs", tmp_path / "slow.yaml", tmp_path / "often.yaml"
    slow.write_text("model: {stage: {encoder: 1.0e-5}}")
    checkpoints = [{"class_path": "LastCheckpoint", "init_args": {"every_n_steps": 1}}]
    often.write_text(json.dumps({"trainer": {"max_epochs": 12, "callbacks": checkpoints}}))
    stages = [f"configs/stage/align.yaml+{often}", f"configs/stage/instruct.yaml,configs/stage/integrate.yaml+{slow}"]
    words = ["experiments/no_lste.yaml", "--stages", *stages, "--name=common", f"--runs={runs}"]
    words += [f"--data.root={tmp_path / 'clips'}", "--trainer.limit_val_batches=0"]
    words += [setting for setting in SETTINGS if "max_epochs" not in setting]
    align = runs / "no_lste+align" / "seed_0"
    checkpoint = align / "checkpoints" / "last.ckpt"

    killed = subprocess.Popen([sys.executable, "-m", "lightning", "sweep", *words], stdout=subprocess.DEVNULL)
    wait_for(checkpoint, killed)
    kill(killed, runs)
    assert not (align / "summary.json").exists()

    main(words)
    last = [runs / f"no_lste+{stage}" / "seed_0" for stage in ("instruct", "integrate")]
    assert sorted(path.parent for path in runs.glob("*/seed_*/history.jsonl")) == sorted([align, *last])
    began = [[line for line in (folder / "history.jsonl").read_text().splitlines() if '"work": "fit"' in line
              and '"began"' in line] for folder in (align, *last)]  # fmt: skip
    assert [len(lines) for lines in began] == [2, 1, 1]
    assert torch.load(checkpoint, weights_only=True)["global_step"] == json.loads(
        (align / "summary.json").read_text())["steps"]  # fmt: skip
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert [read_record(folder).starts_from.sha256 for folder in last] == [digest] * 2
    assert [(folder / "answers" / "test.jsonl").exists() for folder in (align, *last)] == [False, True, True]
    assert "2 of 2 jobs are finished" in capsys.readouterr().out
