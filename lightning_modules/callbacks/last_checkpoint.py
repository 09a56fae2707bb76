"""A run that is killed can go on: its latest checkpoint is never far behind."""

from __future__ import annotations

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from lightning_modules.runs.folder import LAST_CHECKPOINT, run_folder


class LastCheckpoint(Checkpoint):
    """Writes `checkpoints/last.ckpt` every so many optimiser steps, and at the end of a training.

    Lightning's ModelCheckpoint can keep the best ones beside it. It is not used for this, because it saves at the end
    of a batch, before all counters agree, and its `save_last` alone saves nothing before a training ends.
    """

    def __init__(self, every_n_steps: int = 200) -> None:
        """Set how much work a kill may cost.

        Args:
            every_n_steps: optimiser steps between two checkpoints.

        Raises:
            ValueError: it is not positive.
        """
        if every_n_steps < 1:
            raise ValueError(
                f"every_n_steps of trainer.callbacks.LastCheckpoint is {every_n_steps}; it must be at least 1"
            )
        self.every_n_steps = every_n_steps
        self._saved_at = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A run that goes on has a checkpoint of this step."""
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
            # Not the weights alone: a run goes on with its optimiser and counters.
            trainer.save_checkpoint(folder / LAST_CHECKPOINT, weights_only=False)
            self._saved_at = trainer.global_step
