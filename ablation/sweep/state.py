"""The state of a training according to its run folder: to be begun, to be resumed, or finished; and the next stage."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.stage_record import configuration_hash, kept_config, read_record, recorded, sha256_of, stage_difference
from ablation.sweep.jobs import Job
from lightning_modules.runs.folder import (
    METRICS,
    SUMMARY,
    attempts,
    free_folder,
    metrics_files,
    newest_checkpoint,
    run_name,
)
from lightning_modules.scoring.metrics import is_headline

LOSS = "train/loss"


@dataclass(frozen=True)
class State:
    """The state of a training.

    Attributes:
        folder: run folder, which may not exist yet.
        finished: whether the training is finished.
        checkpoint: newest checkpoint to resume from; None if there is none.
    """

    folder: Path
    finished: bool = False
    checkpoint: Path | None = None

    @property
    def trained(self) -> bool:
        """Whether the run is finished or has a checkpoint."""
        return self.finished or self.checkpoint is not None


@dataclass(frozen=True)
class Plan:
    """The configurations and run folders of trainings, from which their states follow.

    Attributes:
        runs: folder of all runs.
        configuration: returns the configuration of a training.
        begun: returns the run folder that this sweep has created for the id of a job; None without one.
    """

    runs: Path
    configuration: Callable[[Job], Mapping[str, Any]]
    begun: Callable[[str], Path | None] = lambda job: None

    def identity(self, job: Job) -> str:
        """Return the hash of a training's configuration and of all stages before it.

        Raises:
            ValueError: the file that the first stage starts from cannot be read.
        """
        config = self.configuration(job)
        if job.before is not None:
            return configuration_hash(config, self.identity(job.before))
        file = config.get("init_from")
        return configuration_hash(config, file and sha256_of(Path(file)))

    def key(self, job: Job) -> str:
        """Return a key that is equal for stages that several jobs share: the hash of a prefix, otherwise the job's id.

        Raises:
            ValueError: as in `identity`.
        """
        return self.identity(job) if job.prefix else job.id

    def state(self, job: Job) -> State:
        """Return the state of a training, regardless of the stages before it.

        It is that of the latest run with a checkpoint, or for a prefix of any run with its hash. A run that was killed
        before its first checkpoint starts again in the same folder.

        Raises:
            ValueError: the run was trained with other settings, or its settings are unknown.
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
        """Return the stages of a job that are still needed with their states, the job itself last.

        A stage that is finished or has a checkpoint does not need the stages before it, whose runs may be gone. So only
        the first of the returned stages may be finished.
        """
        states: list[tuple[Job, State]] = []
        for stage in reversed(job.stages):
            states.insert(0, (stage, self.state(stage)))
            if states[0][1].trained:
                break
        return states

    def next_stage(self, job: Job) -> tuple[Job, State, State | None]:
        """Return the next stage of a job to train, the job itself if it is finished.

        Returns:
            The stage, its state, and the state of the stage before if it starts from that.
        """
        (first, state), *later = self.states(job)
        return (*later[0], state) if state.finished and later else (first, state, None)

    def _recorded(self, job: Job) -> Path | None:
        """Return the run with the hash of a stage: a finished one if possible, or that with the newest checkpoint."""

        def rank(folder: Path) -> tuple[bool, float, bool]:
            state = state_of(folder)
            saved = state.checkpoint.stat().st_mtime if state.checkpoint else 0.0
            return state.finished, saved, folder.parent.name == job.name

        folders = recorded(self.runs, job.seed, self.identity(job))
        return max(
            (folder for folder in folders if job.prefix or folder.parent.name == job.name), key=rank, default=None
        )

    def _check_same(self, job: Job, folder: Path) -> None:
        """Check that a run was trained as the job requires.

        Raises:
            ValueError: the run has other settings, started from another stage, or does not record these.
        """
        record = read_record(folder) if job.in_chain else None
        # The hash in a record includes `init_from`; prefixes are not tested.
        also = [] if job.prefix else ["test_after_fit"]
        also += [] if job.before or record else ["init_from"]
        changes = stage_difference(kept_config(folder), self.configuration(job), also)
        away = f"move {folder} away{', and the stages after it' if job.prefix else ''}"
        if changes:
            raise ValueError(
                f"{folder} was trained with other settings, there -> here: {'; '.join(changes)}. Give the settings it "
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
    return State(folder, is_finished(folder), newest_checkpoint([folder]))


def is_finished(folder: Path) -> bool:
    """Whether the training in a run folder is finished."""
    return (folder / SUMMARY).is_file()


def latest_trained(runs: Path, name: str, seed: int) -> Path | None:
    """Return the folder of the latest run of this name and seed that is finished or has a checkpoint."""
    trained = [folder for folder in attempts(runs / name, run_name(seed)) if state_of(folder).trained]
    return trained[-1] if trained else None


@dataclass(frozen=True)
class Progress:
    """The progress of a run according to its metrics.

    Attributes:
        step: current step, as far as the logger has written it.
        figure: name of the first validation figure, or of the training loss before the first validation.
        last: last value of the figure; None if there is none.
        best: best value so far; None if there is none.
    """

    step: int = 0
    figure: str = LOSS
    last: float | None = None
    best: float | None = None

    def text(self) -> str:
        """Return the figure with its last and best value as text."""
        if self.last is None or self.best is None:
            return ""
        best = "" if self.figure == LOSS else f" (best {self.best:.4g})"
        return f"{self.figure} {self.last:.4g}{best}"


def progress(folder: Path) -> Progress:
    """Return the progress of a run; incomplete lines of its metrics are ignored."""
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
