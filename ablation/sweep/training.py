"""Training the next stage of a job in a process, with a claim that keeps other processes from training it too."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from ablation.stage_record import StageRecord, Start, kept_config, read_record, sha256_of
from ablation.sweep import child
from ablation.sweep.jobs import Job
from ablation.sweep.journal import Journal, UnwritableError
from ablation.sweep.state import Plan, State, is_finished
from lightning_modules.config.redaction import as_typed
from lightning_modules.runs.checkout import STARTED_BY
from lightning_modules.runs.folder import LAST_CHECKPOINT, STAGE_FILE, SWEEPS, free_folder, is_checkpoint
from lightning_modules.runs.lock import Lock

LAST_LINES = 8  # displayed lines of a failed run's log
PATIENCE = 60.0  # seconds to wait while another process chooses its run folder


@dataclass(frozen=True)
class Busy:
    """Another process, or another job of this process, is training a stage of the job.

    Attributes:
        stage: stage that is being trained, which may be the job itself.
    """

    stage: Job


@dataclass(frozen=True)
class Claim:
    """The exclusive right to train a stage.

    Attributes:
        stage: stage of the job, the job itself if it is the last stage.
        folder: run folder.
        arguments: arguments of `fit`.
        continues: whether the training resumes from a checkpoint.
        facts: hashes of its configuration and starting checkpoint, for the journal.
        locks: locks on the job and on the run, which the training holds too.
    """

    stage: Job
    folder: Path
    arguments: tuple[str, ...]
    continues: bool
    facts: Mapping[str, str]
    locks: tuple[Lock, ...]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """File descriptors of the locks."""
        return tuple(lock.descriptor for lock in self.locks)

    def release(self) -> None:
        """Release the locks."""
        for lock in self.locks:
            lock.release()


def claim(job: Job, plan: Plan) -> Claim | State | Busy:
    """Claim the next stage of a job.

    Returns:
        The claim; the state of the job if it is finished; or the stage that another process is training.

    Raises:
        UnwritableError: a run folder cannot be written.
        ValueError: a stage was trained with other settings, or its checkpoint has changed.
    """
    locks = [job_lock(job, plan.runs)]
    claimed: Claim | None = None
    try:
        if not locks[0].take():
            return Busy(job)
        stage, state, before = plan.next_stage(job)
        if state.finished:
            return state
        start = _start_from(stage.before, plan, before) if stage.before and before else None
        with _choosing_folder(plan.runs):
            state = plan.state(stage)
            run_lock = _lock(f"{state.folder.parent.name}+{state.folder.stem}", plan.runs)
            if run_lock.path != locks[0].path:  # an earlier stage, maybe in the folder of another experiment
                locks.append(run_lock)
                if not run_lock.take() or state.finished:
                    return Busy(stage)
            if stage.before and not start and not state.checkpoint:  # its checkpoint was removed a moment ago
                return Busy(stage)
            claimed = _claimed(stage, plan, state, start, tuple(locks))
        return claimed
    finally:
        if claimed is None:
            for lock in locks:
                lock.release()


def _claimed(stage: Job, plan: Plan, state: State, start: Start | None, locks: tuple[Lock, ...]) -> Claim:
    """Prepare the run folder of a claimed stage."""
    folder, record = state.folder, read_record(state.folder) if stage.in_chain else None
    arguments = [*stage.arguments]
    if folder.parent.name != stage.name:
        arguments.append(f"--name={folder.parent.name}")
    if state.checkpoint is None:
        try:
            if folder.is_dir():  # left by a try that was killed before its first checkpoint
                shutil.rmtree(folder)
            folder = free_folder(folder.parent.parent, folder.parent.name, stage.seed, "fit")
            if stage.in_chain:
                record = StageRecord(plan.identity(stage), start)
                record.write(folder)
        except OSError as error:
            raise UnwritableError(folder, error) from error
    facts = {"configuration": record.configuration} if record else {}
    if record and record.starts_from:
        facts |= {"init_from": record.starts_from.checkpoint, "init_from_sha256": record.starts_from.sha256}
        arguments.append(f"--init_from={record.starts_from.checkpoint}")
    if state.checkpoint is not None:
        if stage.prefix and kept_config(folder).get("test_after_fit"):  # the last stage of another chain
            arguments.append("--test_after_fit=true")
        arguments.append(f"--ckpt_path={state.checkpoint}")
    return Claim(stage, folder, tuple(arguments), state.checkpoint is not None, facts, locks)


def _start_from(stage: Job, plan: Plan, state: State) -> Start:
    """Return the checkpoint of a stage for a later one, which must be the same for all that start from it.

    Raises:
        UnwritableError: its hash cannot be recorded.
        ValueError: it is gone, or has changed since another stage started from it.
    """
    folder, file = state.folder, state.folder / LAST_CHECKPOINT
    again = f"put it back; or, to train this stage anew, move {folder} away"
    if not file.exists():
        raise ValueError(f"{file}, from which the stage after {stage.id} starts, is gone: {again}")
    if not is_checkpoint(file):  # a DeepSpeed checkpoint; the error says how to convert it
        from lightning_modules.training.checkpoint import check_checkpoint  # imported here, since it imports torch

        check_checkpoint(file, key="init_from")
    sha256 = sha256_of(file)
    record = read_record(folder) or StageRecord(plan.identity(stage))
    if record.checkpoint_sha256 is None:
        try:
            replace(record, checkpoint_sha256=sha256).write(folder)
        except OSError as error:
            raise UnwritableError(folder / STAGE_FILE, error) from error
    elif sha256 != record.checkpoint_sha256:
        raise ValueError(
            f"{file} has changed since a stage started from it: sha256 {record.checkpoint_sha256} -> {sha256}: {again}"
        )
    return Start(str(file), sha256, record.configuration)


@contextmanager
def _choosing_folder(runs: Path) -> Iterator[None]:
    """Keep other processes from choosing a run folder at the same time."""
    lock = _lock("deciding", runs)
    try:
        if not lock.take(PATIENCE):
            raise ValueError(f"{lock.path} is held by process {' on '.join(map(str, lock.holder()))}, which hangs")
        yield
    finally:
        lock.release()


def job_lock(job: Job, runs: Path) -> Lock:
    """Return the lock on a job, which may be part of several sweeps."""
    return _lock(job.file_name, runs)


def _lock(name: str, runs: Path) -> Lock:
    return Lock(runs / SWEEPS / ".locks" / name)


class Ending(StrEnum):
    """The end of a training; an event of the journal."""

    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass
class Training:
    """A process that trains a job, or a stage of it.

    Attributes:
        claim: claim of the stage.
        log: file with its output.
        process: process of the training.
    """

    claim: Claim
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def stage(self) -> Job:
        """Trained stage: the job itself, or an earlier stage of it."""
        return self.claim.stage

    @property
    def folder(self) -> Path:
        """Run folder."""
        return self.claim.folder

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Send a signal to the process; on SIGTERM it saves a checkpoint after the current step."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def end(self, journal: Journal, stopped: bool, tries: int) -> Ending:
        """Release the claim after the process has ended, and add its end to the journal.

        Args:
            journal: journal of the sweep.
            stopped: whether the sweep was stopped, so that an unfinished training has not failed.
            tries: number of tries at the stage, including this one.
        """
        self.claim.release()
        succeeded = self.process.returncode == 0 and is_finished(self.folder)
        ending = Ending.FINISHED if succeeded else Ending.STOPPED if stopped else Ending.FAILED
        failure = {"how": self.failure(), "tries": tries} if ending is Ending.FAILED else {}
        journal.append(self.stage.id, ending, folder=self.folder, **failure)
        return ending

    def failure(self) -> str:
        """Return a short description of the end of a failed process."""
        status = self.process.returncode
        if status < 0:
            return f"killed by {signal.Signals(-status).name}"
        return f"status {status}" if status else "status 0, but no summary.json"

    def last_lines(self) -> list[str]:
        """Return the last lines of its output."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line[:200] for line in lines if line.strip()][-LAST_LINES:]


def begin(
    job: Job, plan: Plan, journal: Journal, environment: Mapping[str, str], holds: tuple[int, ...] = ()
) -> Training | State | Busy:
    """Begin to train the next stage of a job.

    `environment` is set beside the environment of this process; `holds` are descriptors of locks that the training
    holds beside those of its claim.

    Returns:
        The training; the state of the job if it is finished; or the stage that another process is training.

    Raises:
        UnwritableError: a file of the sweep or of a run cannot be written.
        ValueError: a stage was trained with other settings, or its checkpoint has changed.
    """
    claimed = claim(job, plan)
    if not isinstance(claimed, Claim):
        return claimed
    try:
        return _begin(claimed, journal, environment, holds)
    except BaseException:
        claimed.release()
        raise


def _begin(claimed: Claim, journal: Journal, environment: Mapping[str, str], holds: tuple[int, ...]) -> Training:
    stage = claimed.stage
    journal.append(stage.id, "continued" if claimed.continues else "begun", folder=claimed.folder, **claimed.facts)
    log = journal.folder / "logs" / f"{stage.file_name}.log"
    try:
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as file:
            typed = as_typed(["python", "-m", "lightning", "fit", *claimed.arguments])
            file.write(f"\n--- {time.strftime('%Y-%m-%d %H:%M:%S')} {typed}\n".encode())
            file.flush()
            # A session of its own, so that Ctrl-C in a terminal reaches only the sweep, which passes it on.
            process = subprocess.Popen(
                command(claimed.arguments), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True, pass_fds=(*claimed.descriptors, *holds),
                env={**os.environ, **environment, STARTED_BY: f"sweep {journal.folder.name}, job {stage.id}"},
            )  # fmt: skip
    except OSError as error:
        raise UnwritableError(log, error) from error
    return Training(claimed, log, process)


def command(arguments: Sequence[str]) -> list[str]:
    """Return the command that trains with these arguments of `fit`, and ends with this process."""
    # By its file, since a package of the wheel is not found by its name alone.
    return [sys.executable, child.__file__, str(os.getpid()), *arguments]
