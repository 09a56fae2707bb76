"""Jobs of a sweep as an array on a SLURM cluster; `submitit` hands them over and queues again what is pre-empted."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ablation.sweep.jobs import Job, common_stages
from ablation.sweep.journal import Event, Journal
from ablation.sweep.runner import noted_signals
from ablation.sweep.state import Plan
from ablation.sweep.training import Busy, Ending, Training, begin
from datamodules.printable import say

POLL = 1.0  # seconds
BUSY = 30.0  # seconds until it is asked again whether another task has finished a stage
TIMEOUTS = 1000  # how many times a task whose time is over is queued again: a long training takes many
Options = dict[str, str | int]
_SECONDS = 60  # for a cluster that is busy


class TaskError(RuntimeError):
    """A job that failed or was stopped, so that the cluster does not mark its task as completed."""


class Task:
    """One job on a machine of the cluster, all its stages, started there as often as it is pre-empted.

    A job that another process trains is left to it: to submit a sweep twice costs a place in the queue and no more. A
    stage that another task trains for its own job is waited for.
    """

    def __init__(self, job: Job, plan: Plan, folder: Path, retries: int) -> None:
        """Say what is to be trained, of which sweep's folder, and how many times a stage that fails is tried again."""
        self.job, self.runs, self.folder, self.retries = job, plan.runs, folder, retries
        self.configs = {stage.id: plan.configuration(stage) for stage in job.stages}  # not to be read again there
        self._training: Training | None = None

    def __call__(self) -> str:
        """Train the job, and return how it ended.

        Raises:
            TaskError: it failed, or the cluster ended the task: with SIGTERM, without a call of `checkpoint`, which is
                how most clusters make room for others. They queue the task again by themselves.
        """
        # With it, Lightning would expect one task per GPU; the machine's GPUs are those of this one task.
        os.environ.pop("SLURM_NTASKS", None)
        journal = Journal(self.folder, self.job.file_name)
        journal.open()
        plan = Plan(self.runs, lambda stage: self.configs[stage.id], journal.begun)
        tries: Counter[Job] = Counter()
        ended = "finished before"
        with noted_signals() as signals:
            while True:
                begun = begin(self.job, plan, journal, {})
                if isinstance(begun, Busy) and begun.stage is not self.job:
                    time.sleep(BUSY)
                elif isinstance(begun, Training):
                    self._training = begun
                    _wait(begun, signals)
                    stage = begun.stage
                    tries[stage] += 1
                    ending = begun.end(journal, bool(signals), tries[stage])
                    if ending is Ending.FINISHED:
                        ended = "finished"
                        if stage is self.job:
                            return ended
                    elif ending is Ending.FAILED and tries[stage] > self.retries:
                        why = f"{stage.id}: {begun.how_it_ended()}; all it said is in {begun.log}"
                        raise TaskError("\n".join([why, *begun.last_lines()]))
                else:
                    return "is trained by another process" if isinstance(begun, Busy) else ended
                if signals:
                    raise TaskError(f"{self.job.id}: stopped by the cluster")

    def checkpoint(self) -> Any:
        """Let the training save a checkpoint, and return what is queued again; called by submitit before the end."""
        from submitit.helpers import DelayedSubmission

        if self._training is not None:
            self._training.stop()
            os.waitid(os.P_PID, self._training.process.pid, os.WEXITED | os.WNOWAIT)
        again = copy(self)
        again._training = None
        return DelayedSubmission(again)


def _wait(training: Training, signals: Sequence[int]) -> None:
    """Wait for the end of a training; a signal that stops the task stops it too."""
    stopped = False
    # Not wait(): the signal upon which `checkpoint` is called would find it holding a lock.
    while training.process.poll() is None:
        if signals and not stopped:
            training.stop()
            stopped = True
        time.sleep(POLL)


def submit_unfinished(
    jobs: Mapping[Job, Sequence[Job]],
    plan: Plan,
    journal: Journal,
    options: Mapping[str, str | int],
    at_once: int,
    retries: int,
) -> None:
    """Hand over unfinished jobs, of which these stages are left, that are not in the queue; common stages come first.

    Raises:
        ValueError: there is no SLURM here, or it does not know an option, or does not answer.
    """
    queue = queued(journal.events())
    say("".join(f"left alone {job.id}, {queue[job.id]}\n" for job in jobs if job.id in queue), end="")
    left = {job: stages for job, stages in jobs.items() if job.id not in queue}
    common = [stage for stage in common_stages(left, plan.key) if stage.id not in queue]
    waited_for = {stage.id for stages in left.values() for stage in stages if stage.prefix and stage.id in queue}
    earlier = [queue[stage].rpartition(" ")[2] for stage in waited_for]
    for batch in (common, [*left]):
        tasks = [Task(job, plan, journal.folder, retries) for job in batch]
        submitted = submit(tasks, journal.folder / "slurm", options, at_once, after=earlier) if tasks else []
        for job, task in zip(batch, submitted, strict=True):
            journal.append(job.id, "submitted", task=task.job_id)
            say(f"submitted {job.id} as {task.job_id}")
        earlier += [task.job_id for task in submitted]
    say(f"submitted: {len(left)}; the same command with --dry-run says where all jobs stand")


def submit(
    tasks: Sequence[Task],
    folder: Path,
    options: Mapping[str, str | int],
    at_once: int,
    cluster: str = "slurm",
    after: Sequence[str] = (),
) -> list[Any]:
    """Hand tasks over, and return submitit's jobs.

    Args:
        tasks: at least one.
        folder: folder of the cluster's scripts and output.
        options: options of sbatch, with `_` for `-`.
        at_once: tasks at a time.
        cluster: `slurm`, or `local` for tests.
        after: tasks of SLURM, as they are called there, that are to have ended, however, before these begin.

    Raises:
        ValueError: there is no SLURM here, or it does not know an option.
    """
    import submitit

    if after:
        arrays = dict.fromkeys(name.partition("_")[0] for name in after)
        typed = [str(options["dependency"])] if "dependency" in options else []
        options = {**options, "dependency": ",".join([*typed, f"afterany:{':'.join(arrays)}"])}
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster, slurm_max_num_timeout=TIMEOUTS)
        executor.update_parameters(
            name=folder.parent.name,
            slurm_array_parallelism=at_once,
            slurm_additional_parameters={"requeue": True},  # where a cluster does not do so by itself
            **{f"slurm_{key}": options[key] for key in options},
        )
        with executor.batch():
            jobs = [executor.submit(task) for task in tasks]
    except (RuntimeError, NameError, submitit.core.utils.FailedJobError) as error:
        raise ValueError(f"--slurm: {' '.join(str(error).split())}") from error
    return jobs


def slurm_options(text: str) -> Options:
    """Read options of sbatch, with `_` for `-`; `time` in minutes, which is how submitit reckons with it.

    Raises:
        ValueError: it is not of this form, asks for several machines or tasks, has no time, or submitit is not
            installed.
    """
    options: Options = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not key or not equals or not value:
            raise ValueError(
                f"--slurm has {part!r}; it must be KEY=VALUE,KEY=VALUE such as partition=gpu,time=24:00:00"
            )
        options[key] = int(value) if value.isdecimal() else value
    for key in ("nodes", "ntasks_per_node", "tasks_per_node"):
        if options.get(key, 1) != 1:
            raise ValueError(
                f"--slurm has {key}={options[key]}; a job of a sweep is one task on one machine, with as many GPUs as "
                "trainer.devices says. For one run on several machines, see docs/slurm.sh"
            )
    if "time" not in options:
        raise ValueError(
            "--slurm has no time=, after which a run saves a checkpoint and is queued again, such as time=24:00:00"
        )
    options["time"] = minutes(str(options["time"]))
    if find_spec("submitit") is None:
        raise ValueError("--slurm needs submitit, which is not installed: pip install 'video-panda-lightning[slurm]'")
    return options


def minutes(time: str) -> int:
    """Return a time of sbatch in minutes, rounded up as it does.

    Raises:
        ValueError: it is not of one of its forms.
    """
    days, dash, rest = time.rpartition("-")
    parts = rest.split(":")
    if len(parts) > 3 or not all(part.isdecimal() for part in (days or "0", *parts)) or (dash and not days):
        raise ValueError(
            f"--slurm has time={time}; it must be minutes, minutes:seconds, hours:minutes:seconds or "
            "days-hours:minutes:seconds"
        )
    units = (3600, 60, 1) if dash or len(parts) == 3 else (60, 1)
    seconds = sum(int(part) * unit for part, unit in zip(parts, units, strict=False))
    return int(days or 0) * 24 * 60 + -(-seconds // 60)


def queued(events: Sequence[Event]) -> dict[str, str]:
    """Return id of a job -> state and number of its task, by the events of the sweep: `pending as 12_0`.

    A job that has none was not submitted, or its task has ended, or was cancelled; or there is no SLURM here.

    Raises:
        ValueError: the cluster does not answer.
    """
    jobs = {str(event.get("task")): str(event["job"]) for event in events if event["event"] == "submitted"}
    if not jobs or shutil.which("squeue") is None:
        return {}
    command = ["squeue", "--me", "--array", "--noheader", "--format=%i %T"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SECONDS).stdout
    except subprocess.SubprocessError as error:
        why = getattr(error, "stderr", None) or error
        raise ValueError(f"which jobs are in the queue is not known: {' '.join(str(why).split())}") from error
    states: dict[str, str] = {}
    for task, state in (line.split() for line in output.splitlines()):
        if task in jobs and (state == "RUNNING" or jobs[task] not in states):
            states[jobs[task]] = f"{state.lower()} as {task}"
    return states
