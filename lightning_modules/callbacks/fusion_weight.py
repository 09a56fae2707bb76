"""The learned weight alpha between frame and video context (paper eq. 14), watched over time."""

from __future__ import annotations

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from components.stab.fusion import LearnedFusion
from lightning_modules.training.fully_sharded import whole_tensor


class FusionWeight(Callback):
    """Logs mean and spread of alpha at every validation, and its histogram over the channels."""

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log alpha of the encoder's fusion, where it has a learned one."""
        if trainer.sanity_checking:
            return
        for fusion in pl_module.modules():
            if isinstance(fusion, LearnedFusion):
                alpha = whole_tensor(fusion.balance.detach()).float().sigmoid()
                pl_module.log("alpha/mean", alpha.mean(), sync_dist=True)
                pl_module.log("alpha/std", alpha.std(correction=0), sync_dist=True)
                if isinstance(trainer.logger, TensorBoardLogger):
                    trainer.logger.experiment.add_histogram("alpha", alpha.cpu(), trainer.global_step)
