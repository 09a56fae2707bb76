"""The end of a run: final figures into the HParams tab, and the lines that tell where everything is."""

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
from lightning_modules.callbacks import hparams
from lightning_modules.callbacks.score_file import ScoreFile
from lightning_modules.runs.folder import SUMMARY, run_folder
from lightning_modules.runs.origin import Origin
from lightning_modules.scoring.interval import HOW_SURE, Interval
from lightning_modules.video_language import VideoLanguageModel


class RunSummary(Callback):
    """Collects final figures; logs what was ablated beside them, one column per slot."""

    def __init__(self, origin: Origin, scores: ScoreFile) -> None:
        """Take what the run is made of, and intervals from `scores`."""
        self.origin = origin
        self.scores = scores
        self.figures: dict[str, float] = {}
        self.started = time.perf_counter()
        self.minutes_before = 0.0  # of the training up to the checkpoint that it goes on from

    def state_dict(self) -> dict[str, Any]:
        """Return the minutes of training so far."""
        return {"minutes": self._minutes()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the minutes of a checkpoint; what came after it was for nothing."""
        self.minutes_before = float(state_dict.get("minutes", 0.0))

    def _minutes(self) -> float:
        return self.minutes_before + (time.perf_counter() - self.started) / 60

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the figures of the last validation."""
        self._collect(trainer, pl_module)
        self.figures["train/minutes"] = self._minutes()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the figures of a validation run by itself."""
        self._collect(trainer, pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the figures of the test, and complete the HParams entry with them."""
        self._collect(trainer, pl_module)
        self.log_hparams(trainer, pl_module)

    def _collect(self, trainer: Trainer, module: LightningModule) -> None:
        assert isinstance(module, VideoLanguageModel)
        self.figures |= {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith(("val/", "test/", "train/loss"))
        }
        if trainer.world_size > 1:  # each has seen other clips
            skips: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(skips, module.data.skips)
            module.data.skips.take_in(skips)
        self.figures |= module.data.skips.figures()

    @rank_zero_only
    def log_hparams(self, trainer: Trainer, module: LightningModule) -> None:
        """Write what was ablated, slots, size and seed beside the final figures."""
        if not isinstance(trainer.logger, TensorBoardLogger) or not isinstance(module, VideoLanguageModel):
            return
        parameters = sum(parameter.numel() for parameter in module.encoder.parameters())
        values = hparams.settings(
            module.component_names(),
            ablated=self.origin.ablated(),
            encoder_parameters=parameters / 1e6,
            experiment=Path(trainer.logger.root_dir).name,
            seed=str(module.data.seed),
            shown_frames=type(module.data.shown_frames).__name__,
        )
        titles = hparams.figures_in_order(self.figures, self.scores.intervals)
        # Those of validation and test have been logged when they were found. At the last step: 0 after all others looks
        # like a restart, upon which TensorBoard drops the curves.
        further = {name: value for name, value in self.figures.items() if not name.startswith(("val/", "test/"))}
        trainer.logger.log_metrics(further, trainer.global_step)
        for summary in hparams.entry(type(module), values, titles):
            trainer.logger.experiment.file_writer.add_summary(summary, trainer.global_step)

    def keep(self, trainer: Trainer) -> None:
        """Write the figures to `summary.json`, last of all: where it is, a training is finished."""
        folder = run_folder(trainer)  # asked on every rank, or the others wait
        if folder is not None and trainer.is_global_zero:
            summary = {"steps": trainer.global_step, "figures": self.figures}
            write_whole(folder / SUMMARY, json.dumps(summary, indent=2, allow_nan=False) + "\n")

    def say(self, trainer: Trainer) -> None:
        """Print where the run is and how it ended."""
        folder = run_folder(trainer)
        if folder is not None and trainer.is_global_zero:
            say(report(folder, self.figures, self.scores.intervals))


def report(folder: Path, figures: Mapping[str, float], intervals: Mapping[str, Interval]) -> str:
    """Return the closing lines of a run: folder, final figures with the intervals they have, how to look at it."""
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
