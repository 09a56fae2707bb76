"""How large the gradients are, before they are clipped."""

from __future__ import annotations

from lightning import Callback, LightningModule, Trainer
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from lightning_modules.training.fully_sharded import whole_tensor


class GradientNorm(Callback):
    """Logs the norm of all gradients together; DeepSpeed, which has them elsewhere, none."""

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Log it at every step of the optimiser."""
        gradients = [parameter.grad for parameter in pl_module.parameters() if parameter.grad is not None]
        if not gradients:
            return
        norm = whole_tensor(get_total_norm(gradients))
        # This precision leaves out the step of an infinite gradient, and reads from the device for it.
        if trainer.precision != "16-mixed" or bool(norm.isfinite()):
            pl_module.log("train/gradient_norm", norm)
