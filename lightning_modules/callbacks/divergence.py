"""Divergence of a training: stops it if the loss or the gradient norm is not finite."""

from __future__ import annotations

import math
from typing import Any

from lightning import Callback, LightningModule, Trainer

WATCHED = ("train/loss", "train/gradient_norm")


class Divergence(Callback):
    """Stops a training whose loss or gradient norm is infinite or NaN, since its weights cannot recover.

    Both are checked when figures are read from the device anyway, and before every validation and checkpoint. So no
    figure in the run's files is infinite or NaN, and the last checkpoint is from before the divergence.
    """

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check before figures are logged."""
        if trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]  # set by a connector
            self._check(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check before a validation."""
        self._check(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Check before weights replace those of an earlier step."""
        self._check(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check before the test."""
        self._check(trainer)

    @staticmethod
    def _check(trainer: Trainer) -> None:
        figures = {name: float(trainer.callback_metrics[name]) for name in WATCHED if name in trainer.callback_metrics}
        bad = next((name for name, figure in figures.items() if not math.isfinite(figure)), None)
        if bad is not None:
            raise ValueError(
                f"{bad} is {figures[bad]} at step {trainer.global_step}: the training has diverged. Lower the rates of "
                "model.stage or lengthen its warmup, or find where it begins with trainer.detect_anomaly=true; "
                "checkpoints are from before"
            )
