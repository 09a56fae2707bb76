"""A run that goes on labels its figures as one that was never stopped."""

from __future__ import annotations

from typing import Any

from lightning import Callback, LightningModule, Trainer


class StepLabels(Callback):
    """Sets the counter that loggers label figures by to the number of optimiser steps; comes before who logs.

    Lightning counts one step more when it goes on from a checkpoint that was not written at the end of a batch. Ours
    are written between two steps, where that step is counted already.
    """

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Set it before anything of this step is logged; no public setting does."""
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step
