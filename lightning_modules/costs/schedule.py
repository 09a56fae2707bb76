"""The number of optimiser steps of a training, and their sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from lightning_modules.resolve import Experiment


@dataclass(frozen=True)
class Schedule:
    """Steps of a training.

    Attributes:
        samples: training samples per epoch.
        samples_per_step: samples per optimiser step over all devices.
        steps: optimiser steps of all epochs.
        devices: number of devices over all machines.
        batch_size: samples per device and batch.
        accumulation: batches per device and step.
    """

    samples: int
    samples_per_step: int
    steps: int
    devices: int
    batch_size: int
    accumulation: int


def schedule(training: Experiment, devices: int, samples: int | None = None) -> Schedule:
    """Return the steps of a training.

    Args:
        training: configuration of the training.
        devices: number of devices over all machines.
        samples: number of training samples before `train_records` selects; None counts those of the data.

    Raises:
        ValueError: the global batch does not fit these devices.
    """
    data, stage, trainer = training.data_module(), training.stage(), training.config.trainer
    selected = data.train_records.size(data.count_training_records() if samples is None else samples)
    accumulation = stage.accumulation(data.batch_size, devices, trainer.accumulate_grad_batches)
    batches = _limited(math.ceil(math.ceil(selected / devices) / data.batch_size), trainer.limit_train_batches)
    steps = math.ceil(batches / accumulation) * trainer.max_epochs
    if trainer.max_steps >= 0:
        steps = min(steps, trainer.max_steps)
    return Schedule(selected, data.batch_size * devices * accumulation, steps, devices, data.batch_size, accumulation)


def _limited(batches: int, limit: int | float | None) -> int:
    """Return the number of an epoch's batches that Lightning uses with a limit: a number of batches or a share."""
    if limit is None:
        return batches
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def devices_of(devices: int | str | list[int]) -> int:
    """Return the number of devices per machine for a `trainer.devices`; `auto` and -1 use all that torch finds.

    Raises:
        ValueError: it is neither a number nor a list of devices.
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
