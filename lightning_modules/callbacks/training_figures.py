"""Figures of a training besides its losses: throughput, and the weight of the fusion."""

from __future__ import annotations

import time
from typing import Any

from lightning import Callback, LightningModule, Trainer

from components.stab.fusion import LearnedFusion
from lightning_modules.runs.logger_families import shown_by
from lightning_modules.training.fully_sharded import whole_tensor
from lightning_modules.training.model_input import ModelInput


class Throughput(Callback):
    """Logs clips per second of all devices, and the share of time that the first one waits for the next batch.

    Both are means since the last logged step or the start. Waiting is the time between the end of a batch and the start
    of the next one, without validation.
    """

    def _start_window(self) -> None:
        self.clips, self.waited, self.worked = 0, 0.0, 0.0
        self.mark = time.perf_counter()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        self._start_window()
        self.logged_at = trainer.global_step

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Count the time since the last batch as waiting."""
        now = time.perf_counter()
        self.waited += now - self.mark
        self.mark = now

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch as work, and log at the steps at which all figures are logged."""
        now = time.perf_counter()
        self.worked += now - self.mark
        self.mark = now
        self.clips += len(batch.samples) * batch.is_real if isinstance(batch, ModelInput) else 0
        interval: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by the logger connector
        steps = trainer.global_step
        if interval and steps % interval == 0 and steps != self.logged_at:
            self.logged_at = steps
            whole = self.waited + self.worked
            pl_module.log("speed/clips_per_second", self.clips / whole, sync_dist=True, reduce_fx="sum")
            pl_module.log("speed/data_wait_share", self.waited / whole)
            self._start_window()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do not count a validation as waiting."""
        self.mark = time.perf_counter()


class FusionWeight(Callback):
    """Logs mean, standard deviation and histogram of the fusion weight alpha over channels at every validation."""

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log alpha of the encoder's fusion, if that is learned."""
        if trainer.sanity_checking:
            return
        for fusion in pl_module.modules():
            if isinstance(fusion, LearnedFusion):
                alpha = whole_tensor(fusion.balance.detach()).float().sigmoid()
                pl_module.log("alpha/mean", alpha.mean(), sync_dist=True)
                pl_module.log("alpha/std", alpha.std(correction=0), sync_dist=True)
                for family in shown_by(trainer):
                    family.histogram("alpha", alpha.cpu(), trainer.global_step)
