"""The finished trainings of the rows of a table, and at which scale they say that they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.comparing.run import config_files, last_of
from ablation.reproducing.paper_table import PaperRow
from ablation.stage_record import kept_config, stage_difference
from ablation.sweep.configuration import configuration
from ablation.sweep.jobs import Job
from ablation.sweep.state import is_finished, latest_trained
from components.files import read_object
from lightning_modules.runs.folder import SUMMARY
from lightning_modules.scoring.answer_store import AnswerStore

PAPER, LAST_STAGE = Path("configs/scale/paper.yaml"), Path("configs/stage/instruct.yaml")
# What of the trainer decides what is learnt.
_LEARNING = ("max_steps", "max_epochs", "limit_train_batches", "fast_dev_run", "overfit_batches", "gradient_clip_val")
# Where weights lie is another folder on another machine, and says nothing of which they are.
_WHERE = "model.language_model.init_args.name_or_path"


@dataclass(frozen=True)
class Trained:
    """A row's trainings.

    Attributes:
        row: of the table.
        name: of the runs.
        seeds: that are wanted.
        folders: seed -> run folder, of those that are finished.
    """

    row: PaperRow
    name: str
    seeds: Sequence[int]
    folders: dict[int, Path]

    @property
    def files(self) -> list[tuple[str, ...]]:
        """Config files of each training, as far as it says."""
        return [config_files(folder, _scores(folder)) for folder in self.folders.values()]

    @property
    def scales(self) -> set[str]:
        """Names of the scales that it was trained at, by what the runs have kept."""
        return {last_of("scale", files) or "unknown" for files in self.files}

    @property
    def steps(self) -> set[int]:
        """Optimiser steps that each took, as far as it says."""
        found = (_content(folder / SUMMARY).get("steps") for folder in self.folders.values())
        return {steps for steps in found if isinstance(steps, int)}


def find_trained(row: PaperRow, name: str, runs: Path, seeds: Sequence[int]) -> Trained:
    """Return the finished trainings of a row.

    Args:
        row: of the table.
        name: of the runs.
        runs: folder of all runs.
        seeds: that are wanted.
    """
    folders = {seed: latest_trained(runs, name, seed) for seed in seeds}
    return Trained(row, name, seeds, {seed: each for seed, each in folders.items() if each and is_finished(each)})


def differences_from_paper(trained: Sequence[Trained]) -> list[str]:
    """Return a line for each thing for which these trainings are not those of the paper; none if they are.

    Scale, stage and settings are those that the runs have kept, whatever was asked for now.
    """
    lines: dict[str, list[str]] = {}
    for each in trained:
        for files, folder in zip(each.files, each.folders.values(), strict=True):
            scale, stage = last_of("scale", files), last_of("stage", files)
            if scale != PAPER.stem:
                found = [f"{scale or 'unknown'} scale"]
            elif stage != LAST_STAGE.stem:
                found = [f"trained in stage {stage}, and not up to {LAST_STAGE.stem}"]
            else:
                found = _other_settings(each.row, folder)
            for line in found:
                lines.setdefault(line, []).append(each.name)
    return [f"{line} ({', '.join(dict.fromkeys(names))})" for line, names in lines.items()]


def _other_settings(row: PaperRow, folder: Path) -> list[str]:
    """Return what of model and training differs from the experiment at the paper's scale."""
    files = (row.file, PAPER, LAST_STAGE)
    asked = configuration(Job(folder.parent.name, 0, tuple(f"--config={file}" for file in files)))
    kept, wanted = (_learning(config) for config in (kept_config(folder), asked))
    return [line for line in stage_difference(kept, wanted) if not line.startswith(f"{_WHERE}:")]


def _learning(config: dict[str, Any]) -> dict[str, Any]:
    trainer = config.get("trainer") or {}
    return {"model": config.get("model") or {}, "trainer": {key: trainer.get(key) for key in _LEARNING}}


def _scores(folder: Path) -> dict[str, Any]:
    """Return what a training has kept of its own test; nothing if there was none, or it cannot be read."""
    return _content(AnswerStore.of_run(folder).scores)


def _content(file: Path) -> dict[str, Any]:
    try:
        return read_object(file)
    except (OSError, ValueError):
        return {}
