"""The right to train a job's next stage: no other process, job or sweep trains the same meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ablation.stage_record import StageRecord, Start, kept_config, read_record, sha256_of
from ablation.sweep.jobs import Job
from ablation.sweep.journal import UnwritableError
from ablation.sweep.standing import Configs, Standing, identity, next_stage, standing
from lightning_modules.runs.folder import STAGE_FILE, free_folder
from lightning_modules.runs.lock import Lock

PATIENCE = 60.0  # seconds for another process to decide where it trains a stage


@dataclass(frozen=True)
class Busy:
    """Another process, or another job of this one, is training a stage, or the job itself.

    Attributes:
        stage: that is being trained.
    """

    stage: Job


@dataclass(frozen=True)
class Claim:
    """A stage that is to be trained by whoever has this.

    Attributes:
        stage: of the job, itself if it is the last.
        folder: of its run.
        words: arguments of `fit`.
        continues: whether it goes on from a checkpoint.
        facts: what is noted of it: hashes of its configuration and of the checkpoint that it starts from.
        locks: on the job and on the run, which the training holds too.
    """

    stage: Job
    folder: Path
    words: tuple[str, ...]
    continues: bool
    facts: Mapping[str, str]
    locks: tuple[Lock, ...]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Of the locks."""
        return tuple(lock.descriptor for lock in self.locks)

    def release(self) -> None:
        """Let others have it."""
        for lock in self.locks:
            lock.release()


def job_lock(job: Job, runs: Path) -> Lock:
    """Return what is held by whoever trains a job: the same job may be in several sweeps."""
    return _lock(job.file_name, runs)


def claim(job: Job, configs: Configs, runs: Path, begun: Path | None = None) -> Claim | Standing | Busy:
    """Claim the next stage of a job.

    Args:
        job: to be trained.
        configs: training -> the configuration that it is to have, of the job and its earlier stages.
        runs: folder of all runs.
        begun: run folder that this sweep made for a job of one training.

    Returns:
        The claim; or where the job stands if it is finished; or what another process trains now.

    Raises:
        UnwritableError: a run folder cannot be written.
        ValueError: a stage was trained with other settings, or its checkpoint is not what it was.
    """
    locks = [job_lock(job, runs)]
    claimed: Claim | None = None
    try:
        if not locks[0].take():
            return Busy(job)
        stage, stands, before = next_stage(job, lambda stage: standing(stage, configs, runs, begun))
        if stands.finished:
            return stands
        start = _handed_on(stage.before, configs, before) if stage.before and before else None
        with _deciding(runs):
            stands = standing(stage, configs, runs, begun)
            home = _lock(f"{stands.folder.parent.name}+{stands.folder.stem}", runs)
            if home.path != locks[0].path:  # an earlier stage, and maybe in the folder of another experiment
                locks.append(home)
                if not home.take() or stands.finished:
                    return Busy(stage)
            if stage.before and not start and not stands.checkpoint:  # it had one a moment ago
                return Busy(stage)
            claimed = _claimed(stage, configs, stands, start, tuple(locks))
        return claimed
    finally:
        if claimed is None:
            for lock in locks:
                lock.release()


def _claimed(stage: Job, configs: Configs, stands: Standing, start: Start | None, locks: tuple[Lock, ...]) -> Claim:
    """Prepare the run folder of a stage that is claimed."""
    folder, record = stands.folder, read_record(stands.folder) if stage.in_chain else None
    words = [*stage.arguments]
    if folder.parent.name != stage.name:
        words.append(f"--name={folder.parent.name}")
    if stands.checkpoint is None:
        try:
            if folder.is_dir():  # made for this training, and killed before its first checkpoint
                shutil.rmtree(folder)
            folder = free_folder(folder.parent.parent, folder.parent.name, stage.seed, "fit")
            if stage.in_chain:
                record = StageRecord(identity(stage, configs), start)
                record.write(folder)
        except OSError as error:
            raise UnwritableError(folder, error) from error
    facts = {"configuration": record.configuration} if record else {}
    if record and record.starts_from:
        facts |= {"init_from": record.starts_from.checkpoint, "init_from_sha256": record.starts_from.sha256}
        words.append(f"--init_from={record.starts_from.checkpoint}")
    if stands.checkpoint is not None:
        if stage.prefix and kept_config(folder).get("test_after_fit"):  # it is the last stage of another chain
            words.append("--test_after_fit=true")
        words.append(f"--ckpt_path={stands.checkpoint}")
    return Claim(stage, folder, tuple(words), stands.checkpoint is not None, facts, locks)


def _handed_on(stage: Job, configs: Configs, stands: Standing) -> Start:
    """Return the checkpoint that a later stage starts from, which is the same for all that start from it.

    Raises:
        UnwritableError: its hash cannot be written down.
        ValueError: it is gone, or it is not what another stage started from.
    """
    folder, file = stands.folder, stands.folder / "checkpoints" / "last.ckpt"
    again = f"put it back; or, to train this stage anew, move {folder} away"
    if not file.exists():
        raise ValueError(f"{file}, from which the stage after {stage.id} starts, is gone: {again}")
    if file.is_dir():  # of DeepSpeed, and said how to make a file of it
        from lightning_modules.training.checkpoint import check_checkpoint  # here, since it imports torch

        check_checkpoint(file, key="init_from")
    found = sha256_of(file)
    record = read_record(folder) or StageRecord(identity(stage, configs))
    if record.checkpoint_sha256 is None:
        try:
            replace(record, checkpoint_sha256=found).write(folder)
        except OSError as error:
            raise UnwritableError(folder / STAGE_FILE, error) from error
    elif found != record.checkpoint_sha256:
        raise ValueError(
            f"{file} has changed since a stage started from it: sha256 {record.checkpoint_sha256} -> {found}: {again}"
        )
    return Start(str(file), found, record.configuration)


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


def _lock(name: str, runs: Path) -> Lock:
    return Lock(runs / "sweeps" / ".locks" / name)
