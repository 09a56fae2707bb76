"""Where a training stands, by its run folder: finished, to be continued, or to be begun; and which stage is next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.stage_record import configuration_hash, kept_config, read_record, recorded, sha256_of, stage_difference
from ablation.sweep.jobs import Job
from lightning_modules.runs.folder import free_folder

Configs = Mapping[str, Mapping[str, Any]]  # training -> the configuration that it is to have


@dataclass(frozen=True)
class Standing:
    """What there is of a training.

    Attributes:
        folder: of its run, also if it is yet to be made.
        finished: whether it is trained to its end.
        checkpoint: to go on from; None if there is none.
    """

    folder: Path
    finished: bool = False
    checkpoint: Path | None = None


def identity(job: Job, configs: Configs) -> str:
    """Return the hash of what a training learns by and of all that is trained before it.

    Raises:
        ValueError: the file that the first stage starts from cannot be read.
    """
    if job.before is not None:
        return configuration_hash(configs[job.id], identity(job.before, configs))
    file = configs[job.id].get("init_from")
    return configuration_hash(configs[job.id], file and sha256_of(Path(file)))


def key(job: Job, configs: Configs) -> str:
    """Return what trainings have in common that are one for several jobs: the hash of a prefix, else where a run is.

    Raises:
        ValueError: as `identity`.
    """
    return identity(job, configs) if job.prefix else job.id


def standing(job: Job, configs: Configs, runs: Path, begun: Path | None = None) -> Standing:
    """Return where a training stands, whatever there is of those before it.

    Args:
        job: of which the latest run counts that trained at all; of a prefix, any run that has its hash.
        configs: training -> the configuration that it is to have, also of those before it.
        runs: folder of all runs.
        begun: run folder that this sweep made for it: what was killed before its first checkpoint is begun anew there.

    Raises:
        ValueError: it was trained with other settings, or it is not known with which.
    """
    folder = _recorded(job, configs, runs) if job.in_chain else None
    if folder is None:
        folder = latest_trained(runs, job.name, job.seed)
        if folder is None:
            return Standing(begun if begun and begun.is_dir() else free_folder(runs, job.name, job.seed, "fit"))
        check_same(job, configs, folder, runs)
    elif is_finished(folder) or checkpoint(folder):
        check_same(job, configs, folder, runs)
    return Standing(folder, is_finished(folder), checkpoint(folder))


def next_stage(job: Job, stands: Callable[[Job], Standing]) -> tuple[Job, Standing, Standing | None]:
    """Return the stage of a job that is to be trained next, itself if it is finished.

    What is finished, or has a checkpoint, needs nothing of the stages before it, which may be gone by then.

    Args:
        job: with its stages.
        stands: says where a stage stands.

    Returns:
        The stage; where it stands; and where the one before stands, if it is to start from that.
    """
    later: tuple[Job, Standing] | None = None
    for stage in reversed(job.stages):
        found = stands(stage)
        if found.finished and later is not None:
            return *later, found
        if found.finished or found.checkpoint:
            return stage, found, None
        later = stage, found
    assert later is not None
    return *later, None


def stages_left(job: Job, standings: Mapping[str, Standing]) -> tuple[Job, ...]:
    """Return the stages of a job that are still to be trained, itself last; none if it is finished.

    Args:
        job: with its stages.
        standings: training -> where it stands, of those that this depends on.
    """
    stage, stands, _ = next_stage(job, lambda stage: standings[stage.id])
    return () if stands.finished else job.stages[job.stages.index(stage) :]


def check_same(job: Job, configs: Configs, folder: Path, runs: Path) -> None:
    """Compare a run that trained with what is asked for.

    Raises:
        ValueError: it was trained with other settings, started from another stage, or it is not known.
    """
    record = read_record(folder) if job.in_chain else None
    # A job is to start from the weights that were asked for, which a record has in its hash; and to have test answers.
    also = [] if job.prefix else ["test_after_fit"]
    also += [] if job.before or record else ["init_from"]
    changed = stage_difference(kept_config(folder), configs[job.id], also)
    away = f"move {folder} away{', and the stages after it' if job.prefix else ''}"
    if changed:
        raise ValueError(
            f"{folder} was trained with other settings, there -> here: {'; '.join(changed)}. Give the settings it was "
            f"trained with to keep it; or, to train anew, another --runs, or {away}"
        )
    if record is None and job.before is None:
        return
    if record is not None and record.configuration == identity(job, configs):
        return
    earlier = record.starts_from.folder(runs) if record and record.starts_from else None
    if job.before and earlier and earlier.is_dir():
        check_same(job.before, configs, earlier, runs)
    other = f"another stage than {job.before.id} is to be" if job.before else "another file than init_from is now"
    raise ValueError(
        f"{folder} started from {other}, or does not say from which (stage.json). To train anew, give another --runs, "
        f"or {away}"
    )


def _recorded(job: Job, configs: Configs, runs: Path) -> Path | None:
    """Return the run that has the hash of a stage: a finished one, else the one that was at work last."""
    folders = recorded(runs, job.seed, identity(job, configs))
    found = [folder for folder in folders if job.prefix or folder.parent.name == job.name]

    def how_far(folder: Path) -> tuple[bool, float, bool]:
        file = checkpoint(folder)
        return is_finished(folder), file.stat().st_mtime if file else 0.0, folder.parent.name == job.name

    return max(found, key=how_far, default=None)


def attempts(runs: Path, name: str, seed: int) -> list[Path]:
    """Return the run folders of an experiment and seed, the latest last."""
    folders = [folder for folder in (runs / name).glob(f"seed_{seed}*") if folder.stem == f"seed_{seed}"]
    return sorted(folders, key=lambda folder: int(folder.suffix[1:] or 1))


def latest_trained(runs: Path, name: str, seed: int) -> Path | None:
    """Return the folder of the latest run of this name and seed that trained at all."""
    trained = [folder for folder in attempts(runs, name, seed) if is_finished(folder) or checkpoint(folder)]
    return trained[-1] if trained else None


def is_finished(folder: Path) -> bool:
    """Whether the training in `folder` came to its end."""
    return (folder / "summary.json").is_file()


def checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint that a run can go on from."""
    files = [folder / "checkpoints" / name for name in ("last.ckpt", "interrupted.ckpt")]
    return max((file for file in files if file.is_file()), key=lambda file: file.stat().st_mtime, default=None)
