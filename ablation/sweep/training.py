"""One try at the next stage of a job: it is claimed, so that no other process trains the same, and a process begins."""

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
from ablation.sweep.jobs import Job
from ablation.sweep.journal import Journal, UnwritableError
from ablation.sweep.state import Plan, State, is_finished
from lightning_modules.config.redaction import as_typed
from lightning_modules.runs.checkout import STARTED_BY
from lightning_modules.runs.folder import LAST_CHECKPOINT, STAGE_FILE, SWEEPS, free_folder
from lightning_modules.runs.lock import Lock

LAST_LINES = 8  # of the log of a run that failed
PATIENCE = 60.0  # seconds for another process to decide where it trains a stage


@dataclass(frozen=True)
class Busy:
    """Another process, or another job of this one, is training a stage, or the job itself.

    Attributes:
        stage: stage that is being trained.
    """

    stage: Job


@dataclass(frozen=True)
class Claim:
    """A stage that is to be trained by whoever has this.

    Attributes:
        stage: stage of the job, itself if it is the last.
        folder: run folder.
        arguments: arguments of `fit`.
        continues: whether it goes on from a checkpoint.
        facts: hashes, for the journal, of its configuration and of the checkpoint that it starts from.
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
        """Descriptors of the locks."""
        return tuple(lock.descriptor for lock in self.locks)

    def release(self) -> None:
        """Let others have it."""
        for lock in self.locks:
            lock.release()


def claim(job: Job, plan: Plan) -> Claim | State | Busy:
    """Claim the next stage of a job.

    Returns:
        The claim; or the state of the job if it is finished; or what another process trains now.

    Raises:
        UnwritableError: a run folder cannot be written.
        ValueError: a stage was trained with other settings, or its checkpoint is not what it was.
    """
    locks = [job_lock(job, plan.runs)]
    claimed: Claim | None = None
    try:
        if not locks[0].take():
            return Busy(job)
        stage, state, before = plan.next_stage(job)
        if state.finished:
            return state
        start = _handed_on(stage.before, plan, before) if stage.before and before else None
        with _deciding(plan.runs):
            state = plan.state(stage)
            run_lock = _lock(f"{state.folder.parent.name}+{state.folder.stem}", plan.runs)
            if run_lock.path != locks[0].path:  # an earlier stage, and maybe in the folder of another experiment
                locks.append(run_lock)
                if not run_lock.take() or state.finished:
                    return Busy(stage)
            if stage.before and not start and not state.checkpoint:  # it had one a moment ago
                return Busy(stage)
            claimed = _claimed(stage, plan, state, start, tuple(locks))
        return claimed
    finally:
        if claimed is None:
            for lock in locks:
                lock.release()


def _claimed(stage: Job, plan: Plan, state: State, start: Start | None, locks: tuple[Lock, ...]) -> Claim:
    """Prepare the run folder of a stage that is claimed."""
    folder, record = state.folder, read_record(state.folder) if stage.in_chain else None
    arguments = [*stage.arguments]
    if folder.parent.name != stage.name:
        arguments.append(f"--name={folder.parent.name}")
    if state.checkpoint is None:
        try:
            if folder.is_dir():  # made for this training, and killed before its first checkpoint
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
        if stage.prefix and kept_config(folder).get("test_after_fit"):  # it is the last stage of another chain
            arguments.append("--test_after_fit=true")
        arguments.append(f"--ckpt_path={state.checkpoint}")
    return Claim(stage, folder, tuple(arguments), state.checkpoint is not None, facts, locks)


def _handed_on(stage: Job, plan: Plan, state: State) -> Start:
    """Return the checkpoint that a later stage starts from, which is the same for all that start from it.

    Raises:
        UnwritableError: its hash cannot be written down.
        ValueError: it is gone, or it is not what another stage started from.
    """
    folder, file = state.folder, state.folder / LAST_CHECKPOINT
    again = f"put it back; or, to train this stage anew, move {folder} away"
    if not file.exists():
        raise ValueError(f"{file}, from which the stage after {stage.id} starts, is gone: {again}")
    if file.is_dir():  # of DeepSpeed, and said how to make a file of it
        from lightning_modules.training.checkpoint import check_checkpoint  # here, since it imports torch

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
def _deciding(runs: Path) -> Iterator[None]:
    """Let no other process look for the folder of a run, or make one, meanwhile."""
    lock = _lock("deciding", runs)
    try:
        if not lock.take(PATIENCE):
            raise ValueError(f"{lock.path} is held by process {' on '.join(map(str, lock.holder()))}, which hangs")
        yield
    finally:
        lock.release()


def job_lock(job: Job, runs: Path) -> Lock:
    """Return what is held by whoever trains a job: the same job may be in several sweeps."""
    return _lock(job.file_name, runs)


def _lock(name: str, runs: Path) -> Lock:
    return Lock(runs / SWEEPS / ".locks" / name)


class Ending(StrEnum):
    """How a training ended; an event of the journal."""

    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass
class Training:
    """A process that trains a job, or a stage of it.

    Attributes:
        claim: what it trains, where, and the locks on it.
        log: file of what it says.
        process: process of the training.
    """

    claim: Claim
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def stage(self) -> Job:
        """Stage that is trained: the job itself, or one of its earlier stages."""
        return self.claim.stage

    @property
    def folder(self) -> Path:
        """Run folder."""
        return self.claim.folder

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal: SIGTERM lets it save a checkpoint after the step that it is in."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def end(self, journal: Journal, stopped: bool, tries: int) -> Ending:
        """Let others have the stage of a process that has ended, and note how it ended.

        Args:
            journal: journal of the sweep.
            stopped: whether the sweep was stopped; it has not failed then.
            tries: how many tries at the stage there were with this one.
        """
        self.claim.release()
        well = self.process.returncode == 0 and is_finished(self.folder)
        ending = Ending.FINISHED if well else Ending.STOPPED if stopped else Ending.FAILED
        failure = {"how": self.how_it_ended(), "tries": tries} if ending is Ending.FAILED else {}
        journal.append(self.stage.id, ending, folder=self.folder, **failure)
        return ending

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


def begin(
    job: Job, plan: Plan, journal: Journal, environment: Mapping[str, str], holds: tuple[int, ...] = ()
) -> Training | State | Busy:
    """Begin to train the next stage of a job, in an environment beside that of this process.

    The process holds the claim's locks, and those of the descriptors `holds`.

    Returns:
        The training; or the state of the job if it is finished; or what another process trains now.

    Raises:
        UnwritableError: a file of the sweep or of a run cannot be written.
        ValueError: a stage was trained with other settings, or its checkpoint is not what it was.
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
            # Its own session: Ctrl-C in a terminal comes to the sweep alone, which passes it on once.
            process = subprocess.Popen(
                command(claimed.arguments), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True, pass_fds=(*claimed.descriptors, *holds),
                env={**os.environ, **environment, STARTED_BY: f"sweep {journal.folder.name}, job {stage.id}"},
            )  # fmt: skip
    except OSError as error:
        raise UnwritableError(log, error) from error
    return Training(claimed, log, process)


def command(arguments: Sequence[str]) -> list[str]:
    """Return the program that trains with these arguments of `fit`, and ends with this process."""
    return [sys.executable, "-m", "ablation.sweep.child", str(os.getpid()), *arguments]
