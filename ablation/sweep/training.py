"""One try at a job: a process that trains it, from its checkpoint if it has one, and what it says in a file."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.chain import is_finished
from ablation.sweep.jobs import Job
from ablation.sweep.journal import Journal, UnwritableError
from ablation.sweep.lock import Lock
from ablation.sweep.standing import Standing, standing
from lightning_modules.command_line import as_typed
from lightning_modules.provenance import STARTED_BY

LAST_LINES = 8  # of the log of a run that failed


@dataclass
class Training:
    """A process that trains a job.

    Attributes:
        job: that it trains.
        folder: of its run.
        log: file of what it says.
        process: of the training.
        continues: whether it goes on from a checkpoint.
        lock: on the job, which the process holds too.
    """

    job: Job
    folder: Path
    log: Path
    process: subprocess.Popen[bytes]
    continues: bool
    lock: Lock

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal: SIGTERM lets it save a checkpoint after the step that it is in."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def ended_well(self) -> bool:
        """Whether a process that has ended trained the job to its end."""
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


def job_lock(job: Job, runs: Path) -> Lock:
    """Return what is held by whoever trains a job: the same job may be in several sweeps."""
    return Lock(runs / "sweeps" / ".locks" / job.file_name)


def begin(
    job: Job,
    config: Mapping[str, Any],
    runs: Path,
    journal: Journal,
    environment: Mapping[str, str],
    holds: tuple[int, ...] = (),
) -> Training | Standing | None:
    """Start to train a job where it stands.

    Args:
        job: to be trained.
        config: that it is to have.
        runs: folder of all runs.
        journal: of the sweep.
        environment: of the process, beside that of this one.
        holds: descriptors of further locks that the process is to hold.

    Returns:
        The training; or where the job stands if it is finished; or None if another process trains it now.

    Raises:
        UnwritableError: a file of the sweep cannot be written.
        ValueError: the job was trained with other settings.
    """
    lock = job_lock(job, runs)
    begun: Training | Standing | None = None
    try:
        if lock.take():
            stands = standing(job, config, runs, journal.begun(job.id))
            begun = stands if stands.finished else _begin(job, stands, journal, environment, lock, holds)
    finally:
        if not isinstance(begun, Training):
            lock.release()
    return begun


def _begin(
    job: Job,
    stands: Standing,
    journal: Journal,
    environment: Mapping[str, str],
    lock: Lock,
    holds: tuple[int, ...],
) -> Training:
    continues = stands.checkpoint is not None
    if not continues and stands.folder.is_dir():  # made by this sweep, and killed before its first checkpoint
        shutil.rmtree(stands.folder)
    journal.append(job.id, "continued" if continues else "begun", folder=stands.folder)
    words = [*job.arguments, *([f"--ckpt_path={stands.checkpoint}"] if continues else [])]
    log = journal.folder / "logs" / f"{job.file_name}.log"
    try:
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as file:
            called = as_typed(["python", "-m", "lightning", "fit", *words])
            file.write(f"\n--- {time.strftime('%Y-%m-%d %H:%M:%S')} {called}\n".encode())
            file.flush()
            # Its own session: Ctrl-C in a terminal comes to the sweep alone, which passes it on once.
            process = subprocess.Popen(
                command(words), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, **environment, STARTED_BY: f"sweep {journal.folder.name}, job {job.id}"},
                pass_fds=(lock.descriptor, *holds),
            )  # fmt: skip
    except OSError as error:
        raise UnwritableError(log, error) from error
    return Training(job, stands.folder, log, process, continues, lock)
