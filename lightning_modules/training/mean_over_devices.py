"""A mean over all devices together, where each has seen another number of tokens or frames."""

from __future__ import annotations

import math

import torch
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor


def weighted(loss: Tensor, count: Tensor, strategy: Strategy, devices: int) -> Tensor:
    """Weight the mean of a device so that the mean of these over all devices is that over all counted.

    Args:
        loss: mean over `count`, on this device.
        count: how many this device has counted, perhaps none: the loss then takes part with weight 0.
        strategy: over whose devices; all must ask at the same point.
        devices: how many there are.
    """
    if devices == 1:
        return loss * (count > 0)
    mean: Tensor = strategy.reduce(count.float(), reduce_op="mean")
    return loss * count / mean.clamp(min=1 / devices)  # 0 / 0 where no device has any


class MeanLoss:
    """The mean of an evaluation's loss over the samples of all devices, of which each may have another number, or none.

    Lightning's own mean rounds the number of samples per device down to a whole one.
    """

    def __init__(self) -> None:
        """Start with no sample."""
        self.total = torch.zeros((), dtype=torch.float64)
        self.samples = 0

    def add(self, loss: Tensor, samples: int) -> None:
        """Count the mean loss of so many samples on this device; a stand-in's is of none."""
        if samples:
            self.total = self.total.to(loss.device) + loss.detach().double() * samples
            self.samples += samples

    def figures(self, strategy: Strategy) -> dict[str, float]:
        """Return the mean as `loss`; nothing, with a warning, where it is no finite number or there is no sample.

        Args:
            strategy: over whose devices; all must ask at the same point.
        """
        sums = self.total.new_tensor([self.total.item(), self.samples]).to(strategy.root_device)
        total, samples = strategy.reduce(sums, reduce_op="sum").tolist()
        if not samples:
            return {}
        if not math.isfinite(total):
            rank_zero_warn(f"the loss of this evaluation is {total}, which is no figure: it is left out of all files")
            return {}
        return {"loss": total / samples}
