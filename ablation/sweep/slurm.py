"""Jobs of a sweep as an array on a SLURM cluster; `submitit` submits them, and requeues pre-empted ones."""

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
from shlex import quote
from typing import Any

from ablation.sweep.jobs import Job, common_stages
from ablation.sweep.journal import Event, Journal
from ablation.sweep.runner import noted_signals
from ablation.sweep.state import Plan
from ablation.sweep.training import Busy, Ending, Training, begin
from datamodules.printable import say
from lightning_modules.config.packaged import PACKAGED

POLL = 1.0  # seconds
BUSY = 30.0  # seconds between checks whether another task has finished a stage
TIMEOUTS = 1000  # maximum number of times that a task is requeued after its time; a long training needs many
Options = dict[str, str | int]
_SECONDS = 60  # timeout of squeue on a busy cluster


class TaskError(RuntimeError):
    """A job failed or was stopped; raised so that the cluster does not mark its task as completed."""


class Task:
    """A job with all its stages on a machine of the cluster, restarted whenever it is pre-empted.

    It ends at once if another process trains its job, so submitting a sweep twice does no harm. It waits for a stage
    that another task is training for its own job.
    """

    def __init__(self, job: Job, plan: Plan, folder: Path, retries: int) -> None:
        """Set the job, the folder of its sweep, and the number of further tries at a failed stage."""
        self.job, self.runs, self.folder, self.retries = job, plan.runs, folder, retries
        # Resolved here, and not again on the cluster.
        self.configs = {stage.id: plan.configuration(stage) for stage in job.stages}
        self._training: Training | None = None

    def __call__(self) -> str:
        """Train the job, and return the result in words.

        Raises:
            TaskError: the job failed, or the cluster ended the task with SIGTERM without calling `checkpoint`, as most
                clusters do for pre-emption before they requeue the task themselves.
        """
        # With this variable, Lightning would expect one task per GPU, but this task uses all GPUs.
        os.environ.pop("SLURM_NTASKS", None)
        journal = Journal(self.folder, self.job.file_name)
        journal.open()
        plan = Plan(self.runs, lambda stage: self.configs[stage.id], journal.begun)
        tries: Counter[Job] = Counter()
        result = "finished before"
        with noted_signals() as signals:
            while True:
                training = begin(self.job, plan, journal, {})
                if isinstance(training, Busy) and training.stage is not self.job:
                    time.sleep(BUSY)
                elif isinstance(training, Training):
                    self._training = training
                    _wait(training, signals)
                    stage = training.stage
                    tries[stage] += 1
                    ending = training.end(journal, bool(signals), tries[stage])
                    if ending is Ending.FINISHED:
                        result = "finished"
                        if stage is self.job:
                            return result
                    elif ending is Ending.FAILED and tries[stage] > self.retries:
                        why = f"{stage.id}: {training.failure()}; its output is in {training.log}"
                        raise TaskError("\n".join([why, *training.last_lines()]))
                else:
                    return "is trained by another process" if isinstance(training, Busy) else result
                if signals:
                    raise TaskError(f"{self.job.id}: stopped by the cluster")

    def checkpoint(self) -> Any:
        """Let the training save a checkpoint, and return the task to requeue; called by submitit before the end."""
        from submitit.helpers import DelayedSubmission

        if self._training is not None:
            self._training.stop()
            os.waitid(os.P_PID, self._training.process.pid, os.WEXITED | os.WNOWAIT)
        again = copy(self)
        again._training = None
        return DelayedSubmission(again)


def _wait(training: Training, signals: Sequence[int]) -> None:
    """Wait for the end of a training; a signal to the task stops it."""
    stopped = False
    # Not wait(), which holds a lock that `checkpoint` needs when a signal interrupts it.
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
    """Submit the unfinished jobs (given with their remaining stages) that are not queued, their common stages first.

    Raises:
        ValueError: SLURM is not available, rejects an option, or does not answer.
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
    """Submit tasks, and return submitit's jobs.

    Args:
        tasks: at least one task.
        folder: folder of the cluster's scripts and output.
        options: options of sbatch, with `_` for `-`.
        at_once: maximum number of simultaneous tasks.
        cluster: `slurm`, or `local` for tests.
        after: ids of SLURM tasks that must end, with or without success, before these begin.

    Raises:
        ValueError: SLURM is not available, or rejects an option.
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
            slurm_additional_parameters={"requeue": True},  # for clusters where it is not the default
            # The packages of the wheel are found once video_panda is imported, which submitit does not do.
            **{"slurm_setup": [f"export PYTHONPATH={quote(str(PACKAGED))}${{PYTHONPATH:+:$PYTHONPATH}}"]}
            | {f"slurm_{key}": options[key] for key in options},
        )
        with executor.batch():
            jobs = [executor.submit(task) for task in tasks]
    except (RuntimeError, NameError, submitit.core.utils.FailedJobError) as error:
        raise ValueError(f"--slurm: {' '.join(str(error).split())}") from error
    return jobs


def slurm_options(text: str) -> Options:
    """Parse options of sbatch, with `_` for `-`; `time` is converted to minutes for submitit.

    Raises:
        ValueError: the text has another form, several machines or tasks, or no time; or submitit is not installed.
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
    """Return a time of sbatch in minutes, rounded up as sbatch does.

    Raises:
        ValueError: the time has another form.
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
    """Return state and number of the queued tasks of a sweep by id of the job, as in `pending as 12_0`.

    Jobs that were not submitted, or whose task has ended or was cancelled, are missing, as are all without SLURM.

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
