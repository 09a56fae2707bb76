"""What keeps a training sound: it ends where the loss diverges, and running statistics are those of all devices."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from lightning_modules.training.model_input import ModelInput

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


class JoinedStatistics(Callback):
    """Gives every device the mean of what the running statistics of all have moved by, after every backward pass.

    A mean of moving averages is the moving average of the means: it is what a device that sees all clips would have.
    What a stand-in has moved does not count. A validation, a test and a checkpoint then have the same statistics.
    """

    def __init__(self) -> None:
        self.statistics: list[Tensor] = []
        self.before: list[Tensor] = []
        self.counts = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the layers."""
        norms = [norm for norm in pl_module.modules() if isinstance(norm, nn.BatchNorm1d | nn.SyncBatchNorm)]
        self.statistics = [buffer for norm in norms for buffer in norm.buffers()]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note the statistics before the batch, if they will be needed."""
        self.counts = isinstance(batch, ModelInput) and batch.counts and batch.clips_count
        alone = trainer.world_size == 1 and self.counts
        self.before = [] if alone else [buffer.clone() for buffer in self.statistics]

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Join what they have moved by; not before, since the backward pass may read them."""
        if not self.before:
            return
        pairs = list(zip(self.statistics, self.before, strict=True))
        moved = [(now - before).flatten().float() * self.counts for now, before in pairs]
        joined = torch.cat([*moved, moved[0].new_full((1,), float(self.counts))])
        if trainer.world_size > 1:
            torch.distributed.all_reduce(joined)  # Lightning's own waits at a barrier before
        *sums, devices = joined.split([*map(len, moved), 1])
        for (now, before), total in zip(pairs, sums, strict=True):
            now.copy_(before + (total / devices.clamp(min=1)).view_as(before))
