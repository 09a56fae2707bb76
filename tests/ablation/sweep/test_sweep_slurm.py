"""Jobs on a cluster, for which submitit's executor on this machine stands in."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ablation.sweep.command import main
from ablation.sweep.jobs import Job, chained, common_stages
from ablation.sweep.journal import Journal
from ablation.sweep.slurm import slurm_options, submit
from ablation.sweep.state import Plan
from lightning_modules.config.packaged import PACKAGED
from tests.ablation.sweep.pretended_task import PretendedTask
from tests.ablation.sweep.test_sweep_chains import ALIGN, INSTRUCT, INTEGRATE, planned


@pytest.fixture
def task(tmp_path):
    def make(how, name="a"):
        job = Job(name, 0, (f"--name={name}", "--seed_everything=0", f"--runs={tmp_path}"))
        return PretendedTask(how, job, Plan(tmp_path, lambda stage: {}), tmp_path / "sweeps" / "sweep", 1)

    return make


@pytest.fixture
def run(tmp_path):
    submitit = pytest.importorskip("submitit")
    assert submitit

    def run_local(*tasks):
        return submit(tasks, tmp_path / "sweeps" / "sweep" / "slurm", {}, 2, cluster="local")

    return run_local


@pytest.fixture
def chain_task(tmp_path):
    """Return the task of a chain of two stages, the first of which is the same for all names."""

    def make(name, how="finishes"):
        job = chained(name, 0, [], [(Path("align.yaml"),), (Path("instruct.yaml"),)], [], tmp_path)
        return PretendedTask(how, job, Plan(tmp_path, lambda stage: {}), tmp_path / "sweeps" / "sweep", 1)

    return make


def trained(runs):
    return [json.loads(line)["from"] for line in (runs / "trained.jsonl").read_text().splitlines()]


@pytest.mark.long
def test_tasks_train_their_jobs_once(run, task, tmp_path):
    assert [job.result() for job in run(task("finishes"), task("finishes", "b"))] == ["finished"] * 2
    assert [job.result() for job in run(task("finishes"), task("finishes", "b"))] == ["finished before"] * 2
    events = Journal(tmp_path / "sweeps" / "sweep").events()
    assert sorted((event["job"], event["event"]) for event in events) == [
        (job, event) for job in ("a/seed_0", "b/seed_0") for event in ("begun", "finished")
    ]
    told = {
        json.loads(line)["VIDEO_PANDA_STARTED_BY"] for line in (tmp_path / "trained.jsonl").read_text().splitlines()
    }
    assert told == {f"sweep sweep, job {job}/seed_0" for job in "ab"}


def process_of(runs):
    """Return the process of a task whose training has begun."""
    until = time.monotonic() + 60
    while not (ready := runs / "a" / "seed_0" / "ready").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    return int(ready.read_text())


def test_a_task_whose_time_is_over_goes_on_from_its_checkpoint(run, task, tmp_path):
    (job,) = run(task("goes_on"))
    os.kill(process_of(tmp_path), signal.SIGUSR2)  # what SLURM is asked to send before the end of its time
    assert job.result() == "finished"
    assert trained(tmp_path) == [None, str(tmp_path / "a" / "seed_0" / "checkpoints" / "last.ckpt")]


def test_a_task_that_must_make_room_saves_and_is_not_tried_again_by_itself(run, task, tmp_path):
    (job,) = run(task("goes_on"))
    os.kill(process_of(tmp_path), signal.SIGTERM)  # what SLURM sends half a minute before it kills, to queue it again
    assert "a/seed_0: stopped by the cluster" in str(job.exception())
    assert [event["event"] for event in Journal(tmp_path / "sweeps" / "sweep").events()] == ["begun", "stopped"]
    assert (tmp_path / "a" / "seed_0" / "checkpoints" / "last.ckpt").exists() and trained(tmp_path) == [None]


def test_a_task_that_fails_says_so_to_the_cluster(run, task, tmp_path):
    (job,) = run(task("fails"))
    assert re.search(r"a/seed_0: status 1; its output is .*\n.*\n?.*the batch is too large", str(job.exception()))
    assert trained(tmp_path) == [None, None]


@pytest.mark.long
def test_tasks_that_begin_with_the_same_stage_train_it_once(run, chain_task, tmp_path):
    assert [job.result() for job in run(chain_task("a"), chain_task("b"))] == ["finished"] * 2
    rows = [json.loads(line) for line in (tmp_path / "trained.jsonl").read_text().splitlines()]
    assert len(rows) == 3 and rows[0]["init_from"] is None and rows[1]["weights"] == rows[2]["weights"]
    assert [job.result() for job in run(chain_task("a"))] == ["finished before"]
    assert {event["event"] for event in Journal(tmp_path / "sweeps" / "sweep").events()} == {"begun", "finished"}


def test_a_chain_that_is_preempted_in_its_first_stage_goes_on_there(run, chain_task, tmp_path):
    (job,) = run(chain_task("a", "goes_on"))
    until = time.monotonic() + 60
    while not (ready := tmp_path / "a+align" / "seed_0" / "ready").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    os.kill(int(ready.read_text()), signal.SIGUSR2)
    while not (ready := tmp_path / "a+instruct" / "seed_0" / "ready").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    os.kill(int(ready.read_text()), signal.SIGUSR2)
    assert job.result() == "finished"
    assert [start and start.split("/")[-4] for start in trained(tmp_path)] == [None, "a+align", None, "a+instruct"]


@pytest.mark.long
def test_what_jobs_have_in_common_is_submitted_first_and_they_wait_for_it(monkeypatch, tmp_path, capsys):
    pytest.importorskip("submitit")
    programs = tmp_path / "bin"
    programs.mkdir()
    count = f"echo >> {tmp_path}/count; n=$(wc -l < {tmp_path}/count)"
    for name, body in {"srun": "", "sbatch": f"{count}; cp $1 {tmp_path}/$n; echo Submitted batch job 1$n"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    slow = tmp_path / "slow.yaml"
    slow.write_text("model: {stage: {encoder: 1.0e-5}}")
    words = ["experiments/full.yaml", "--stages", "configs/stage/align.yaml", f"configs/stage/instruct.yaml,{slow}",
             "--model.stage.global_batch=32", f"--runs={tmp_path / 'runs'}"]  # fmt: skip
    main([*words, "--slurm=time=10,dependency=afterok:7"])
    output = capsys.readouterr().out
    for line in ("full+align/seed_0 as 11\n", "full+instruct/seed_0 as 12_0", "full+slow/seed_0 as 12_1"):
        assert f"submitted {line}" in output
    assert "submitted: 2;" in output
    assert "#SBATCH --dependency=afterok:7\n" in (tmp_path / "1").read_text()
    assert "#SBATCH --dependency=afterok:7,afterany:11\n" in (tmp_path / "2").read_text()
    (programs / "squeue").write_text("#!/bin/sh\necho 11 RUNNING; echo 12_1 PENDING\n")  # 12_0 was cancelled
    (programs / "squeue").chmod(0o755)
    main([*words, "--dry-run"])
    listed = capsys.readouterr().out
    assert re.search(r"\| - align +\| running as 11, for 2 jobs ", listed)
    assert re.search(r"full\+slow/seed_0 +\| +pending as 12_1 ", listed)
    main([*words, "--slurm=time=10"])
    output = capsys.readouterr().out
    assert "left alone full+slow/seed_0, pending as 12_1" in output and "full+align" not in output
    assert "submitted full+instruct/seed_0 as 13\n" in output
    assert "#SBATCH --dependency=afterany:11\n" in (tmp_path / "3").read_text()


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    """Put stand-ins for SLURM's programs on the path; returns the names of what is in the queue, to be filled."""
    pytest.importorskip("submitit")
    programs, queue = tmp_path / "bin", tmp_path / "queue"
    programs.mkdir()
    bodies = {
        "srun": "",
        "sbatch": f"cp $1 {tmp_path}/script; echo Submitted batch job 12",
        "squeue": f"cat {queue}",
    }
    for name, body in bodies.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    queue.write_text("")
    return queue


@pytest.mark.long
def test_what_is_not_finished_is_submitted_as_an_array(cluster, tmp_path, capsys):
    words = ["experiments/full.yaml", "--seeds=2", "--jobs=2", f"--runs={tmp_path / 'runs'}"]
    options = "--slurm=partition=gpu,gpus_per_node=4,cpus_per_task=40,time=1-00:00:00,signal_delay_s=600"
    main([*words, options])
    assert "submitted full/seed_1 as 12_1" in capsys.readouterr().out
    script = (tmp_path / "script").read_text()
    for option in (
        *("partition=gpu", "gpus-per-node=4", "cpus-per-task=40", "time=1440", "array=0-1%2", "signal=USR2@600"),
        *("requeue", "job-name=full"),
    ):
        assert f"#SBATCH --{option}\n" in script
    (export,) = re.findall("^export PYTHONPATH=.*", script, re.MULTILINE)
    paths = ["sh", "-c", f"{export}; echo $PYTHONPATH; PYTHONPATH=; {export}; echo $PYTHONPATH"]
    printed = subprocess.run(paths, env={"PYTHONPATH": "mine"}, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == [f"{PACKAGED}:mine", str(PACKAGED)]
    main([*words, "--dry-run"])
    assert capsys.readouterr().out.count("would begin") == 2
    cluster.write_text("12_0 RUNNING\n12_1 PENDING\n11_1 RUNNING\n")
    main([*words, "--dry-run"])
    listed = capsys.readouterr().out
    assert re.search(r"full/seed_0 \| running as 12_0 ", listed) and re.search(r"seed_1 \| pending as 12_1 ", listed)
    cluster.write_text("12_1 PENDING\n")  # the other was cancelled
    main([*words, options])
    output = capsys.readouterr().out
    assert "left alone full/seed_1, pending as 12_1" in output and "submitted: 1;" in output
    assert "submitted full/seed_0 as 12" in output and "submitted full/seed_1" not in output


def test_a_cluster_that_does_not_answer(cluster, tmp_path, capsys):
    words = ["experiments/full.yaml", f"--runs={tmp_path / 'runs'}"]
    main([*words, "--slurm=partition=gpu,time=60"])
    (tmp_path / "bin" / "squeue").write_text("#!/bin/sh\necho cannot connect >&2; exit 1\n")
    with pytest.raises(SystemExit):
        main([*words, "--dry-run"])
    assert "which jobs are in the queue is not known: cannot connect" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("time", "in_minutes"),
    [("90", 90), ("90:01", 91), ("24:00:00", 1440), ("2-12", 3600), ("2-12:30", 3630), ("1-00:00:01", 1441)],
)
def test_options_are_those_of_sbatch_and_times_in_minutes(time, in_minutes):
    pytest.importorskip("submitit")
    assert slurm_options(f"partition=gpu,gpus_per_node=4,time={time}") == {
        "partition": "gpu", "gpus_per_node": 4, "time": in_minutes
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partition", r"--slurm has 'partition'; it must be KEY=VALUE"),
        ("", r"--slurm has ''"),
        ("partition=gpu", r"--slurm has no time="),
        ("partition=gpu,time=tomorrow", r"--slurm has time=tomorrow; it must be minutes"),
        ("partition=gpu,time=-12", r"--slurm has time=-12; it must be minutes"),
        ("partition=gpu,nodes=2", r"--slurm has nodes=2; a job of a sweep is one task on one machine"),
    ],
)
def test_options_that_are_wrong(tmp_path, capsys, text, message):
    with pytest.raises(SystemExit):
        main(["experiments/full.yaml", f"--slurm={text}", f"--runs={tmp_path}"])
    assert re.search(message, capsys.readouterr().err)


def test_without_submitit_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("ablation.sweep.slurm.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"--slurm needs submitit, .*\[slurm\]"):
        slurm_options("partition=gpu,time=60")


def test_an_option_that_sbatch_does_not_have_and_a_machine_without_it(task, tmp_path):
    pytest.importorskip("submitit")
    with pytest.raises(ValueError, match="--slurm: "):
        submit([task("finishes")], tmp_path / "slurm", {"partition": "gpu"}, 1)


def test_what_a_cluster_trains_first_is_where_chains_part(tmp_path):
    three = (ALIGN, INTEGRATE, INSTRUCT)
    settings = {"c+integrate": {"model": {"rate": 2}}, "d+align": {"model": {"rate": 2}}}
    jobs, plan = planned({"a": three, "b": three, "c": three, "d": three}, tmp_path, settings)
    assert [job.id for job in common_stages({job: job.stages for job in jobs}, plan.key)] == ["a+integrate/seed_0"]
    assert common_stages({jobs[0]: jobs[0].stages, jobs[3]: jobs[3].stages}, plan.key) == []
