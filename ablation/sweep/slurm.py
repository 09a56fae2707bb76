"""Jobs of a sweep as an array on a SLURM cluster; `submitit` hands them over and queues again what is pre-empted."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

from ablation.sweep.claim import Busy
from ablation.sweep.jobs import Job
from ablation.sweep.journal import Journal
from ablation.sweep.standing import Configs
from ablation.sweep.stopping import Stopping
from ablation.sweep.training import Training, begin

POLL = 1.0  # seconds
BUSY = 30.0  # seconds until it is asked again whether another task has finished a stage
TIMEOUTS = 1000  # how many times a task whose time is over is queued again: a long training takes many


class TaskError(RuntimeError):
    """A job that failed or was stopped, so that the cluster does not mark its task as completed."""


class Task:
    """One job on a machine of the cluster, all its stages, started there as often as it is pre-empted.

    A job that another process trains is left to it: to submit a sweep twice costs a place in the queue and no more. A
    stage that another task trains for its own job is waited for.
    """

    def __init__(self, job: Job, configs: Configs, runs: Path, folder: Path, retries: int) -> None:
        """Say what is to be trained.

        Args:
            job: to be trained.
            configs: training -> the configuration that it is to have, of the job and its earlier stages.
            runs: folder of all runs, which all machines share.
            folder: of the sweep.
            retries: how many times each stage of the job is tried again if it fails.
        """
        self.job, self.runs, self.folder, self.retries = job, runs, folder, retries
        self.configs = {stage.id: configs[stage.id] for stage in job.stages}
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
        tries: Counter[str] = Counter()
        ended = "finished before"
        with Stopping() as stopping:
            while True:
                begun = begin(self.job, self.configs, self.runs, journal, {})
                if isinstance(begun, Busy) and begun.stage is not self.job:
                    time.sleep(BUSY)
                elif isinstance(begun, Training):
                    self._training = begun
                    _wait(begun, stopping)
                    begun.claim.release()
                    stage = begun.stage.id
                    if begun.ended_well():
                        journal.append(stage, "finished", folder=begun.folder)
                        ended = "finished"
                        if begun.stage is self.job:
                            return ended
                    elif stopping.times:
                        journal.append(stage, "stopped", folder=begun.folder)
                    else:
                        tries[stage] += 1
                        how = begun.how_it_ended()
                        journal.append(stage, "failed", folder=begun.folder, how=how, tries=tries[stage])
                        if tries[stage] > self.retries:
                            said = [f"{stage}: {how}; all it said is in {begun.log}", *begun.last_lines()]
                            raise TaskError("\n".join(said))
                else:
                    return "is trained by another process" if isinstance(begun, Busy) else ended
                if stopping.times:
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
        folder: where scripts and output of the cluster go.
        options: of sbatch, with `_` for `-`.
        at_once: tasks at a time.
        cluster: `slurm`, or `local` for tests.
        after: tasks of SLURM, as they are called there, that are to have ended, however, before these begin.

    Raises:
        ValueError: there is no SLURM here, or it does not know an option.
    """
    import submitit

    if after:
        arrays = dict.fromkeys(name.partition("_")[0] for name in after)
        given = [str(options["dependency"])] if "dependency" in options else []
        options = {**options, "dependency": ",".join([*given, f"afterany:{':'.join(arrays)}"])}
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
