"""The state of a training, by its run folder: to be begun, to be continued, or finished; and which stage is next."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.stage_record import configuration_hash, kept_config, read_record, recorded, sha256_of, stage_difference
from ablation.sweep.jobs import Job
from lightning_modules.runs.folder import (
    INTERRUPTED_CHECKPOINT,
    LAST_CHECKPOINT,
    METRICS,
    SUMMARY,
    attempts,
    free_folder,
    metrics_files,
    run_name,
)
from lightning_modules.scoring.metrics import is_headline

LOSS = "train/loss"


@dataclass(frozen=True)
class State:
    """What there is of a training.

    Attributes:
        folder: run folder, also if it is yet to be made.
        finished: whether the training came to its end.
        checkpoint: newest checkpoint to go on from; None if there is none.
    """

    folder: Path
    finished: bool = False
    checkpoint: Path | None = None

    @property
    def trained(self) -> bool:
        """Whether there is anything to keep."""
        return self.finished or self.checkpoint is not None


@dataclass(frozen=True)
class Plan:
    """What is to be trained, and where; it tells the state of each training.

    Attributes:
        runs: folder of all runs.
        configuration: returns the configuration that a training is to have.
        begun: returns the run folder that this sweep has made for a job, by its id; None if it has made none.
    """

    runs: Path
    configuration: Callable[[Job], Mapping[str, Any]]
    begun: Callable[[str], Path | None] = lambda job: None

    def identity(self, job: Job) -> str:
        """Return the hash of what a training learns by and of all that is trained before it.

        Raises:
            ValueError: the file that the first stage starts from cannot be read.
        """
        config = self.configuration(job)
        if job.before is not None:
            return configuration_hash(config, self.identity(job.before))
        file = config.get("init_from")
        return configuration_hash(config, file and sha256_of(Path(file)))

    def key(self, job: Job) -> str:
        """Return what is the same of trainings that are one for several jobs: the hash of a prefix, else the job's id.

        Raises:
            ValueError: as `identity`.
        """
        return self.identity(job) if job.prefix else job.id

    def state(self, job: Job) -> State:
        """Return the state of a training, whatever there is of those before it.

        The latest run that trained at all counts; of a prefix, any run that has its hash. What was killed before its
        first checkpoint is begun anew in the same folder.

        Raises:
            ValueError: it was trained with other settings, or it is not known with which.
        """
        folder = self._recorded(job) if job.in_chain else None
        if folder is None:
            folder = latest_trained(self.runs, job.name, job.seed)
        if folder is None:
            begun = None if job.in_chain else self.begun(job.id)
            return State(begun if begun and begun.is_dir() else free_folder(self.runs, job.name, job.seed, "fit"))
        state = state_of(folder)
        if state.trained:
            self._check_same(job, folder)
        return state

    def states(self, job: Job) -> list[tuple[Job, State]]:
        """Return the stages of a job that matter, each with its state: those that are not finished, itself last.

        What is finished, or has a checkpoint, needs nothing of the stages before it, which may be gone by then. So only
        the first of these stages may be finished.
        """
        states: list[tuple[Job, State]] = []
        for stage in reversed(job.stages):
            states.insert(0, (stage, self.state(stage)))
            if states[0][1].trained:
                break
        return states

    def next_stage(self, job: Job) -> tuple[Job, State, State | None]:
        """Return the stage of a job that is to be trained next, itself if it is finished.

        Returns:
            The stage; its state; and that of the stage before, if it is to start from that.
        """
        (first, state), *later = self.states(job)
        return (*later[0], state) if state.finished and later else (first, state, None)

    def _recorded(self, job: Job) -> Path | None:
        """Return the run that has the hash of a stage: a finished one, else the one that was at work last."""

        def how_far(folder: Path) -> tuple[bool, float, bool]:
            state = state_of(folder)
            saved = state.checkpoint.stat().st_mtime if state.checkpoint else 0.0
            return state.finished, saved, folder.parent.name == job.name

        folders = recorded(self.runs, job.seed, self.identity(job))
        return max(
            (folder for folder in folders if job.prefix or folder.parent.name == job.name), key=how_far, default=None
        )

    def _check_same(self, job: Job, folder: Path) -> None:
        """Compare a run that trained with what it is to be.

        Raises:
            ValueError: it was trained with other settings, started from another stage, or it is not known.
        """
        record = read_record(folder) if job.in_chain else None
        # A job starts from the weights that were asked for, which a record has in its hash; and it has test answers.
        also = [] if job.prefix else ["test_after_fit"]
        also += [] if job.before or record else ["init_from"]
        changed = stage_difference(kept_config(folder), self.configuration(job), also)
        away = f"move {folder} away{', and the stages after it' if job.prefix else ''}"
        if changed:
            raise ValueError(
                f"{folder} was trained with other settings, there -> here: {'; '.join(changed)}. Give the settings it "
                f"was trained with to keep it; or, to train anew, another --runs, or {away}"
            )
        if record is None and job.before is None:
            return
        if record is not None and record.configuration == self.identity(job):
            return
        earlier = record.starts_from.folder(self.runs) if record and record.starts_from else None
        if job.before and earlier and earlier.is_dir():
            self._check_same(job.before, earlier)
        other = f"another stage than {job.before.id} is to be" if job.before else "another file than init_from is now"
        raise ValueError(
            f"{folder} started from {other}, or does not say from which (stage.json). To train anew, give another "
            f"--runs, or {away}"
        )


def state_of(folder: Path) -> State:
    """Return the state of the training in a run folder."""
    files = [folder / name for name in (LAST_CHECKPOINT, INTERRUPTED_CHECKPOINT)]
    saved = max((file for file in files if file.is_file()), key=lambda file: file.stat().st_mtime, default=None)
    return State(folder, is_finished(folder), saved)


def is_finished(folder: Path) -> bool:
    """Whether the training in a run folder came to its end."""
    return (folder / SUMMARY).is_file()


def latest_trained(runs: Path, name: str, seed: int) -> Path | None:
    """Return the folder of the latest run of this name and seed that trained at all."""
    trained = [folder for folder in attempts(runs / name, run_name(seed)) if state_of(folder).trained]
    return trained[-1] if trained else None


@dataclass(frozen=True)
class Progress:
    """How far a run is, by its metrics.

    Attributes:
        step: step that the run is in; its file lags behind by what its logger keeps back.
        figure: name of the first figure of the validation; before there is one, of the training loss.
        last: last value of the figure; None if there is none.
        best: best value so far.
    """

    step: int = 0
    figure: str = LOSS
    last: float | None = None
    best: float | None = None

    def text(self) -> str:
        """Return the figure as it is shown."""
        if self.last is None or self.best is None:
            return ""
        best = "" if self.figure == LOSS else f" (best {self.best:.4g})"
        return f"{self.figure} {self.last:.4g}{best}"


def progress(folder: Path) -> Progress:
    """Return how far a run is; a line that is being written is read the next time."""
    rows = _rows(folder / METRICS)
    earlier = [row for path in metrics_files(folder) if path.name != METRICS for row in _rows(path)]
    step = max((int(row["step"]) + 1 for row in rows if row.get("step", "").isdecimal()), default=0)
    columns = dict.fromkeys(name for row in rows[:1] + earlier[:1] for name in row)
    validated = [name for name in columns if name.startswith("val/") and is_headline(name.removeprefix("val/"))]
    for figure in (*validated, LOSS):
        values = [value for row in (*earlier, *rows) if (value := _number(row.get(figure))) is not None]
        if values:
            return Progress(step, figure, values[-1], max(values) if figure != LOSS else min(values))
    return Progress(step)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [row for row in csv.DictReader(file) if None not in row and None not in row.values()]
    except FileNotFoundError:
        return []


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
