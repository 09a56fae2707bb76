"""A training that has diverged stops, instead of writing figures that are none and weights that are lost."""

from __future__ import annotations

import math
from typing import Any

from lightning import Callback, LightningModule, Trainer

WATCHED = ("train/loss", "train/gradient_norm")


class Divergence(Callback):
    """Stops a training whose loss or gradient is infinite or no number: its weights will not come back from there.

    Looked at where figures are read from the device anyway, and before a validation and a checkpoint: no figure in the
    run's files is infinite or no number, and the last checkpoint is from before.
    """

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look before figures are logged."""
        if trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]  # set by a connector
            self._look(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before a training is validated."""
        self._look(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Look before weights replace those of an earlier step."""
        self._look(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before the test."""
        self._look(trainer)

    @staticmethod
    def _look(trainer: Trainer) -> None:
        figures = {name: float(trainer.callback_metrics[name]) for name in WATCHED if name in trainer.callback_metrics}
        bad = next((name for name, figure in figures.items() if not math.isfinite(figure)), None)
        if bad is not None:
            raise ValueError(
                f"{bad} is {figures[bad]} at step {trainer.global_step}: the training has diverged. Lower the rates of "
                "model.stage or lengthen its warmup, or find where it begins with trainer.detect_anomaly=true; "
                "checkpoints are from before"
            )
