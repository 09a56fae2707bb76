"""A mean over all devices together, where each has seen another number of tokens or frames."""

from __future__ import annotations

from lightning.pytorch.strategies import Strategy
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
