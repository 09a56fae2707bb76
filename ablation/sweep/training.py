"""One try at a job: a process that trains it on its share of the machine, and what it says in a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablation.sweep.claim import Busy, Claim, claim
from ablation.sweep.jobs import Job
from ablation.sweep.journal import Journal, UnwritableError
from ablation.sweep.standing import Configs, Standing, is_finished
from lightning_modules.config.redaction import as_typed
from lightning_modules.runs.checkout import STARTED_BY

LAST_LINES = 8  # of the log of a run that failed


@dataclass
class Training:
    """A process that trains a job, or a stage of it.

    Attributes:
        claim: what it trains, where, and the locks on it.
        log: file of what it says.
        process: of the training.
    """

    claim: Claim
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def stage(self) -> Job:
        """What is trained: the job itself, or one of its earlier stages."""
        return self.claim.stage

    @property
    def folder(self) -> Path:
        """Of the run."""
        return self.claim.folder

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal: SIGTERM lets it save a checkpoint after the step that it is in."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def ended_well(self) -> bool:
        """Whether a process that has ended trained to the end."""
        return self.process.returncode == 0 and is_finished(self.folder)

    def how_it_ended(self) -> str:
        """Return in a few words how a process ended that did not end well."""
        status = self.process.returncode
        if status < 0:
            return f"killed by {signal.Signals(-status).name}"
        return f"status {status}" if status else "status 0, but no summary.json"

    def last_lines(self) -> list[str]:
        """Return the end of what it said."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line[:200] for line in lines if line.strip()][-LAST_LINES:]


def command(words: Sequence[str]) -> list[str]:
    """Return the program that trains with these arguments of `fit`, and ends with this process."""
    return [sys.executable, "-m", "ablation.sweep.child", str(os.getpid()), *words]


def begin(
    job: Job,
    configs: Configs,
    runs: Path,
    journal: Journal,
    environment: Mapping[str, str],
    holds: tuple[int, ...] = (),
) -> Training | Standing | Busy:
    """Start to train a job where it stands, of a chain the stage that is next.

    Args:
        job: to be trained.
        configs: training -> the configuration that it is to have, of the job and its earlier stages.
        runs: folder of all runs.
        journal: of the sweep.
        environment: of the process, beside that of this one.
        holds: descriptors of further locks that the process is to hold.

    Returns:
        The training; or where the job stands if it is finished; or what another process trains now.

    Raises:
        UnwritableError: a file of the sweep or of a run cannot be written.
        ValueError: a stage was trained with other settings, or its checkpoint is not what it was.
    """
    claimed = claim(job, configs, runs, None if job.in_chain else journal.begun(job.id))
    if not isinstance(claimed, Claim):
        return claimed
    training: Training | None = None
    try:
        training = _begin(claimed, journal, environment, holds)
    finally:
        if training is None:
            claimed.release()
    return training


def _begin(claimed: Claim, journal: Journal, environment: Mapping[str, str], holds: tuple[int, ...]) -> Training:
    stage, event = claimed.stage, "continued" if claimed.continues else "begun"
    journal.append(stage.id, event, folder=claimed.folder, **claimed.facts)
    log = journal.folder / "logs" / f"{stage.file_name}.log"
    try:
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as file:
            called = as_typed(["python", "-m", "lightning", "fit", *claimed.words])
            file.write(f"\n--- {time.strftime('%Y-%m-%d %H:%M:%S')} {called}\n".encode())
            file.flush()
            # Its own session: Ctrl-C in a terminal comes to the sweep alone, which passes it on once.
            process = subprocess.Popen(
                command(claimed.words), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True, pass_fds=(*claimed.descriptors, *holds),
                env={**os.environ, **environment, STARTED_BY: f"sweep {journal.folder.name}, job {claimed.stage.id}"},
            )  # fmt: skip
    except OSError as error:
        raise UnwritableError(log, error) from error
    return Training(claimed, log, process)


def shares(jobs: int) -> list[dict[str, str]]:
    """Return what to set in the environment of as many runs at a time; a single one gets all there is.

    More runs than GPUs share them. What the user has set for the number of threads stays.

    Args:
        jobs: runs at a time.
    """
    if jobs == 1:
        return [{}]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(1, cores // jobs))}
    gpus = _gpus()
    return [threads | ({"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)]} if gpus else {}) for slot in range(jobs)]


def _gpus() -> list[str]:
    """Return the names of the GPUs that this process may use."""
    import torch  # here, since nothing else of a sweep needs it

    if not torch.cuda.is_available():
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
