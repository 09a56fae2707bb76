"""Which share of a model each device holds under a `trainer.strategy`."""

from __future__ import annotations

from dataclasses import dataclass

from jsonargparse import Namespace


@dataclass(frozen=True)
class Sharding:
    """Over how many devices something is split; 1 where each device has all of it.

    Attributes:
        weights: split over so many; what is being computed with is gathered.
        gradients: likewise.
        optimiser: likewise.
        copies_gradients: whether there is a second copy of the gradients, in the buckets that devices exchange.
    """

    weights: int
    gradients: int
    optimiser: int
    copies_gradients: bool


def sharding_of(strategy: str | Namespace, devices: int, machines: int) -> Sharding:
    """Return how a strategy shards.

    Args:
        strategy: name or class, as `trainer.strategy` has it.
        devices: on each machine.
        machines: how many.

    Raises:
        ValueError: one that is not known here.
    """
    world = devices * machines
    name = strategy if isinstance(strategy, str) else str(strategy.class_path).rsplit(".", 1)[-1]
    if name in ("auto", "ddp", "DDPStrategy"):
        return Sharding(1, 1, 1, copies_gradients=world > 1)
    if name == "FullySharded":
        return Sharding(devices, devices, devices, copies_gradients=False)  # every machine has a copy
    if name in ("deepspeed_stage_2", "ZeRO2"):
        return Sharding(1, world, world, copies_gradients=False)
    raise ValueError(
        f"trainer.strategy is {name!r}, whose memory is not known here; known are auto, ddp, FullySharded and "
        "deepspeed_stage_2"
    )
