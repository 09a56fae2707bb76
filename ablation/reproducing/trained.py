"""The finished trainings of the rows of a table, and their differences from the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.comparing.run import config_files, last_of
from ablation.reproducing.paper_table import PaperRow
from ablation.stage_record import kept_config, stage_difference
from ablation.sweep.jobs import Job, configuration
from ablation.sweep.state import is_finished, latest_trained
from components.files import read_object
from lightning_modules.runs.folder import SUMMARY
from lightning_modules.scoring.answer_store import AnswerStore

PAPER, LAST_STAGE = Path("configs/scale/paper.yaml"), Path("configs/stage/instruct.yaml")
# Settings of the trainer that affect learning.
_LEARNING = ("max_steps", "max_epochs", "limit_train_batches", "fast_dev_run", "overfit_batches", "gradient_clip_val")
# Not compared: the folder of the weights differs between machines, and does not identify them.
_WEIGHTS_PATH = "model.language_model.init_args.name_or_path"


@dataclass(frozen=True)
class Trained:
    """The trainings of a row.

    Attributes:
        row: row of the table.
        name: experiment name of the runs.
        seeds: requested seeds.
        folders: run folders of the finished seeds.
    """

    row: PaperRow
    name: str
    seeds: Sequence[int]
    folders: dict[int, Path]

    @property
    def files(self) -> list[tuple[str, ...]]:
        """Config files of each training; empty if unknown."""
        return [config_files(folder, _scores(folder)) for folder in self.folders.values()]

    @property
    def scales(self) -> set[str]:
        """Names of the scales of the trainings, as recorded in the runs."""
        return {last_of("scale", files) or "unknown" for files in self.files}

    @property
    def steps(self) -> set[int]:
        """Numbers of optimiser steps of the trainings, if recorded."""
        counts = (_content(folder / SUMMARY).get("steps") for folder in self.folders.values())
        return {count for count in counts if isinstance(count, int)}


def find_trained(row: PaperRow, name: str, runs: Path, seeds: Sequence[int]) -> Trained:
    """Return the finished trainings of a row.

    Args:
        row: row of the table.
        name: experiment name of the runs.
        runs: folder of all runs.
        seeds: requested seeds.
    """
    folders = {seed: latest_trained(runs, name, seed) for seed in seeds}
    finished = {seed: folder for seed, folder in folders.items() if folder and is_finished(folder)}
    return Trained(row, name, seeds, finished)


def differences_from_paper(trained: Sequence[Trained]) -> list[str]:
    """Return a line per difference of these trainings from the paper's; empty if there is none.

    Scale, stage and settings are those recorded in the runs, not those of the current command.
    """
    lines: dict[str, list[str]] = {}
    for training in trained:
        for files, folder in zip(training.files, training.folders.values(), strict=True):
            scale, stage = last_of("scale", files), last_of("stage", files)
            if scale != PAPER.stem:
                differences = [f"{scale or 'unknown'} scale"]
            elif stage != LAST_STAGE.stem:
                differences = [f"trained in stage {stage}, and not up to {LAST_STAGE.stem}"]
            else:
                differences = _other_settings(training.row, folder)
            for line in differences:
                lines.setdefault(line, []).append(training.name)
    return [f"{line} ({', '.join(dict.fromkeys(names))})" for line, names in lines.items()]


def _other_settings(row: PaperRow, folder: Path) -> list[str]:
    """Return the differences of model and training from the experiment at the paper's scale."""
    files = (row.file, PAPER, LAST_STAGE)
    paper = configuration(Job(folder.parent.name, 0, tuple(f"--config={file}" for file in files)))
    kept, wanted = (_learning(config) for config in (kept_config(folder), paper))
    return [line for line in stage_difference(kept, wanted) if not line.startswith(f"{_WEIGHTS_PATH}:")]


def _learning(config: dict[str, Any]) -> dict[str, Any]:
    trainer = config.get("trainer") or {}
    return {"model": config.get("model") or {}, "trainer": {key: trainer.get(key) for key in _LEARNING}}


def _scores(folder: Path) -> dict[str, Any]:
    """Return the scores of a training's own test; empty if there are none, or they cannot be read."""
    return _content(AnswerStore.of_run(folder).scores)


def _content(file: Path) -> dict[str, Any]:
    try:
        return read_object(file)
    except (OSError, ValueError):
        return {}
