"""Saves the latest checkpoint at regular intervals, so that a killed run can be resumed."""

from __future__ import annotations

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from lightning_modules.runs.folder import LAST_CHECKPOINT, run_folder


class LastCheckpoint(Checkpoint):
    """Writes `checkpoints/last.ckpt` every `every_n_steps` optimiser steps, and at the end of a training.

    Lightning's ModelCheckpoint can keep the best checkpoints in addition. It cannot replace this callback, because it
    saves at the end of a batch, before all counters agree, and its `save_last` alone saves only when a training ends.
    """

    def __init__(self, every_n_steps: int = 200) -> None:
        """Set the interval.

        Args:
            every_n_steps: number of optimiser steps between two checkpoints, the most that a killed run loses.

        Raises:
            ValueError: `every_n_steps` is below 1.
        """
        if every_n_steps < 1:
            raise ValueError(
                f"every_n_steps of trainer.callbacks.LastCheckpoint is {every_n_steps}; it must be at least 1"
            )
        self.every_n_steps = every_n_steps
        self._saved_at = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count at this step, of which a resumed run has a checkpoint."""
        self._saved_at = trainer.global_step

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Save between two optimiser steps."""
        between_steps = batch_idx % trainer.accumulate_grad_batches == 0
        if between_steps and trainer.global_step - self._saved_at >= self.every_n_steps:
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the trained model."""
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        folder = run_folder(trainer)
        if folder is not None:
            # Not weights only: a run resumes with its optimiser and counters.
            trainer.save_checkpoint(folder / LAST_CHECKPOINT, weights_only=False)
            self._saved_at = trainer.global_step
