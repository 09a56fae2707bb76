"""Jobs of a sweep as an array on a SLURM cluster; `submitit` hands them over and queues again what is pre-empted."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

from ablation.sweep.jobs import Job
from ablation.sweep.journal import Journal
from ablation.sweep.stopping import Stopping
from ablation.sweep.training import Training, begin

POLL = 1.0  # seconds
TIMEOUTS = 1000  # how many times a task whose time is over is queued again: a long training takes many


class TaskError(RuntimeError):
    """A job that failed or was stopped, so that the cluster does not mark its task as completed."""


class Task:
    """One job on a machine of the cluster, started there as often as it is pre-empted.

    A job that another process trains is left to it: to submit a sweep twice costs a place in the queue and no more.
    """

    def __init__(self, job: Job, config: Mapping[str, Any], runs: Path, folder: Path, retries: int) -> None:
        """Say what is to be trained.

        Args:
            job: to be trained.
            config: that it is to have.
            runs: folder of all runs, which all machines share.
            folder: of the sweep.
            retries: how many times the job is tried again if it fails.
        """
        self.job, self.config, self.runs, self.folder, self.retries = job, config, runs, folder, retries
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
        with Stopping() as stopping:
            for tries in range(1, self.retries + 2):
                begun = begin(self.job, self.config, self.runs, journal, {})
                if not isinstance(begun, Training):
                    return "finished before" if begun else "is trained by another process"
                self._training = begun
                _wait(begun, stopping)
                begun.lock.release()
                if begun.ended_well():
                    journal.append(self.job.id, "finished", folder=begun.folder)
                    return "finished"
                if stopping.times:
                    journal.append(self.job.id, "stopped", folder=begun.folder)
                    raise TaskError(f"{self.job.id}: stopped by the cluster")
                how = begun.how_it_ended()
                journal.append(self.job.id, "failed", folder=begun.folder, how=how, tries=tries)
                failure = "\n".join([f"{self.job.id}: {how}; all it said is in {begun.log}", *begun.last_lines()])
        raise TaskError(failure)

    def checkpoint(self) -> Any:
        """Let the training save a checkpoint, and return what is queued again; called by submitit before the end."""
        from submitit.helpers import DelayedSubmission

        if self._training is not None:
            self._training.stop()
            os.waitid(os.P_PID, self._training.process.pid, os.WEXITED | os.WNOWAIT)
        again = copy(self)
        again._training = None
        return DelayedSubmission(again)


def _wait(training: Training, stopping: Stopping) -> None:
    """Wait for the end of a training; a signal that stops the task stops it too."""
    told = False
    # Not wait(): the signal upon which `checkpoint` is called would find it holding a lock.
    while training.process.poll() is None:
        if stopping.times and not told:
            training.stop()
            told = True
        time.sleep(POLL)


def submit(
    tasks: Sequence[Task], folder: Path, options: Mapping[str, str | int], at_once: int, cluster: str = "slurm"
) -> list[Any]:
    """Hand tasks over, and return submitit's jobs.

    Args:
        tasks: at least one.
        folder: where scripts and output of the cluster go.
        options: of sbatch, with `_` for `-`.
        at_once: tasks at a time.
        cluster: `slurm`, or `local` for tests.

    Raises:
        ValueError: there is no SLURM here, or it does not know an option.
    """
    import submitit

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
