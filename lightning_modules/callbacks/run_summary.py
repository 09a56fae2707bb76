"""The settings and the end of a run: logs what was ablated with final figures, and prints these with the run folder."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from components.files import write_whole
from datamodules.printable import say
from lightning_modules.callbacks.hparams import entry, figures_in_order, settings
from lightning_modules.callbacks.score_file import ScoreFile
from lightning_modules.runs.folder import SUMMARY, run_folder
from lightning_modules.runs.loggers import further, remember
from lightning_modules.runs.origin import Origin
from lightning_modules.scoring.interval import HOW_SURE, Interval
from lightning_modules.video_language import VideoLanguageModel


class RunSummary(Callback):
    """Logs what was ablated, one column per slot; collects the final figures, and logs them with it."""

    def __init__(self, origin: Origin, scores: ScoreFile, config: Mapping[str, Any]) -> None:
        """Store facts about the run.

        Args:
            origin: where it comes from.
            scores: callback that computes intervals of scores.
            config: configuration of the run without secrets, for loggers beside TensorBoard.
        """
        self.origin = origin
        self.scores = scores
        self.config = config
        self._begun = False
        self.figures: dict[str, float] = {}
        self.started = time.perf_counter()
        self.minutes_before = 0.0  # training time up to the checkpoint that the run resumes from

    def state_dict(self) -> dict[str, Any]:
        """Return the minutes of training so far."""
        return {"minutes": self._minutes()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the minutes of a checkpoint; those after it were lost with their work."""
        self.minutes_before = float(state_dict.get("minutes", 0.0))

    def _minutes(self) -> float:
        return self.minutes_before + (time.perf_counter() - self.started) / 60

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the settings to the user's loggers, once: the test after a training is a part of that run."""
        folder = run_folder(trainer)  # all processes must call this
        if self._begun or folder is None or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, VideoLanguageModel)
        self._begun = True
        remember(trainer.loggers, folder)
        for family in further(trainer.loggers):
            family.settings(self._settings(trainer, pl_module) | {"config": self.config})

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Collect the figures of the last validation, and the training time."""
        self._collect(trainer, pl_module)
        self.figures["train/minutes"] = self._minutes()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Collect the figures of a validation."""
        self._collect(trainer, pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Collect the figures of the test, and log the HParams entry."""
        self._collect(trainer, pl_module)
        self.log_hparams(trainer, pl_module)

    def _collect(self, trainer: Trainer, module: LightningModule) -> None:
        assert isinstance(module, VideoLanguageModel)
        self.figures |= {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith(("val/", "test/", "train/loss"))
        }
        if trainer.world_size > 1:  # processes have seen different clips
            skips: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(skips, module.data.skips)
            module.data.skips.take_in(skips)
        self.figures |= module.data.skips.figures()

    @rank_zero_only
    def log_hparams(self, trainer: Trainer, module: LightningModule) -> None:
        """Log what was ablated, slots, size and seed with the final figures."""
        if not isinstance(trainer.logger, TensorBoardLogger) or not isinstance(module, VideoLanguageModel):
            return
        values = self._settings(trainer, module)
        titles = figures_in_order(self.figures, self.scores.intervals)
        # Figures of validation and test are logged already. At the last step, since TensorBoard takes step 0 after
        # others for a restart and drops the curves.
        others = {name: value for name, value in self.figures.items() if not name.startswith(("val/", "test/"))}
        trainer.logger.log_metrics(others, trainer.global_step)
        others.pop("train/loss", None)  # logged at its step, and wanted once more by the HParams tab alone
        for family in further(trainer.loggers):
            family.logger.log_metrics(others, trainer.global_step)
        for summary in entry(type(module), values, titles):
            trainer.logger.experiment.file_writer.add_summary(summary, trainer.global_step)

    def _settings(self, trainer: Trainer, module: VideoLanguageModel) -> dict[str, str | float]:
        return settings(
            module.component_names(),
            ablated=self.origin.ablated(),
            encoder_parameters=sum(parameter.numel() for parameter in module.encoder.parameters()) / 1e6,
            experiment=Path(trainer.default_root_dir).parent.name,
            seed=str(module.data.seed),
            shown_frames=type(module.data.shown_frames).__name__,
        )

    def keep(self, trainer: Trainer) -> None:
        """Write the figures to `summary.json`, last of all, as the mark of a finished training."""
        folder = run_folder(trainer)  # all processes must call this
        if folder is not None and trainer.is_global_zero:
            summary = {"steps": trainer.global_step, "figures": self.figures}
            write_whole(folder / SUMMARY, json.dumps(summary, indent=2, allow_nan=False) + "\n")

    def say(self, trainer: Trainer) -> None:
        """Print the run folder and the final figures."""
        folder = run_folder(trainer)
        if folder is not None and trainer.is_global_zero:
            say(report(folder, self.figures, self.scores.intervals))


def report(folder: Path, figures: Mapping[str, float], intervals: Mapping[str, Interval]) -> str:
    """Return the closing lines of a run: folder, final figures with their intervals, and TensorBoard's command."""
    width = max((len(name) for name in figures), default=0)
    lines = ["", f"run folder   {folder}"]
    for name, value in sorted(figures.items()):
        interval = intervals.get(name)
        bounds = f" [{interval.low:.4f}, {interval.high:.4f}]" if interval else ""
        lines.append(f"  {name:<{width}}  {value:.4f}{bounds}")
    if intervals:
        lines.append(f"  in brackets: {HOW_SURE}")
    tensorboard = Path(sys.executable).parent / "tensorboard"
    if tensorboard.is_relative_to(Path.cwd()):
        tensorboard = tensorboard.relative_to(Path.cwd())
    lines += [f"look at it   {tensorboard} --logdir {folder.parent.parent}", ""]
    return "\n".join(lines)
