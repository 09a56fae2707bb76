"""How many steps a training takes, of how many samples each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from lightning_modules.costs.resolved import Resolved


@dataclass(frozen=True)
class Schedule:
    """Steps of a training.

    Attributes:
        samples: that there are to learn from in an epoch.
        samples_per_step: over all devices.
        steps: of the optimiser, in all epochs.
        devices: over all machines.
        batch_size: samples that a device computes at a time.
        accumulation: batches of each device in a step.
    """

    samples: int
    samples_per_step: int
    steps: int
    devices: int
    batch_size: int
    accumulation: int


def schedule(training: Resolved, devices: int, samples: int | None = None) -> Schedule:
    """Return the steps of a training.

    Args:
        training: its configuration.
        devices: over all machines.
        samples: that there are, before `train_records` chooses; None asks the data.

    Raises:
        ValueError: a global batch that these devices cannot make.
    """
    data, stage, trainer = training.data_module(), training.stage(), training.config.trainer
    learnt = data.train_records.size(data.count_training_records() if samples is None else samples)
    accumulation = stage.accumulation(data.batch_size, devices, trainer.accumulate_grad_batches)
    batches = _limited(math.ceil(math.ceil(learnt / devices) / data.batch_size), trainer.limit_train_batches)
    steps = math.ceil(batches / accumulation) * trainer.max_epochs
    if trainer.max_steps >= 0:
        steps = min(steps, trainer.max_steps)
    return Schedule(learnt, data.batch_size * devices * accumulation, steps, devices, data.batch_size, accumulation)


def _limited(batches: int, limit: int | float | None) -> int:
    """Return how many of an epoch's batches Lightning takes: at most a whole number of them, or a share."""
    if limit is None:
        return batches
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def devices_of(devices: int | str | list[int]) -> int:
    """Return how many devices of this machine a `trainer.devices` takes; `auto` and -1 take all that torch finds.

    Raises:
        ValueError: it is no number of devices, nor a list of theirs.
    """
    if isinstance(devices, list):
        return len(devices)
    if devices in ("auto", -1, "-1"):
        return max(1, torch.cuda.device_count())
    if isinstance(devices, str) and "," in devices:
        return len(devices.split(","))
    if not str(devices).isdecimal() or int(devices) < 1:
        raise ValueError(f"trainer.devices is {devices!r}; it must be a number from 1, a list of devices, -1 or auto")
    return int(devices)
