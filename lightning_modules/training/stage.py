"""A training stage: which parts of the model learn, and how fast (paper Table 6)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from components.positive import check_positive


@dataclass(frozen=True)
class Stage:
    """Learning rates per group, and the schedule that they share.

    A rate of 0 freezes the group. The schedule is linear warm-up, then a cosine to zero.

    Attributes:
        encoder: peak rate of the video encoder.
        projector: peak rate of the projector.
        language_model: peak rate of the language model.
        distillation: peak rate of the head that predicts the teacher's features.
        warmup: share of all steps that the rates take to rise.
        weight_decay: AdamW's, on all trained parameters (the paper uses 0).
        betas: AdamW's.
        global_batch: samples per optimiser step, over all devices; gradients are accumulated until there are as many.
            None: what one step of all devices takes (`data.batch_size` each).
    """

    encoder: float
    projector: float
    language_model: float
    distillation: float
    warmup: float = 0.03
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    global_batch: int | None = None

    def __post_init__(self) -> None:
        for name in ("encoder", "projector", "language_model", "distillation", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(
                    f"model.stage.{name} is {getattr(self, name)}; it must be a finite number of at least 0"
                )
        if not 0 <= self.warmup < 1:
            raise ValueError(f"model.stage.warmup is {self.warmup}; it must be a share in 0..1 (1 excluded)")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"model.stage.betas are {self.betas}; both must be in 0..1 (1 excluded)")
        if self.global_batch is not None:
            check_positive("model.stage", global_batch=self.global_batch)
        if not any((self.encoder, self.projector, self.language_model)):
            raise ValueError("model.stage trains nothing: encoder, projector and language_model are all 0")

    def accumulation(self, batch_size: int, devices: int, given: int = 1) -> int:
        """Return over how many batches gradients add up, so that a step sees `global_batch` samples on any machine.

        Args:
            batch_size: samples per device and batch.
            devices: number of devices, over all machines.
            given: what the trainer was told, which holds if there is no `global_batch`.

        Raises:
            ValueError: `global_batch` is not a multiple of what the devices take at once, or both are set.
        """
        if self.global_batch is None:
            return given
        if given != 1:
            raise ValueError(
                f"trainer.accumulate_grad_batches is {given} and model.stage.global_batch is {self.global_batch}; "
                "only one of them can decide"
            )
        at_once = batch_size * devices
        if self.global_batch < 1 or self.global_batch % at_once:
            sizes = range(1, self.global_batch // devices + 1)
            fitting = [size for size in sizes if self.global_batch % (size * devices) == 0]
            raise ValueError(
                f"model.stage.global_batch is {self.global_batch}, which is not a multiple of data.init_args.batch_size"
                f" x devices = {batch_size} x {devices} = {at_once}; batch sizes that fit, for as many devices: "
                f"{', '.join(map(str, fitting)) or 'none'}"
            )
        return self.global_batch // at_once

    def freeze(self, groups: dict[str, nn.Module]) -> None:
        """Let only the groups with a rate learn.

        Args:
            groups: `encoder`, `projector`, `language_model` and `distillation`.
        """
        for name, module in groups.items():
            module.requires_grad_(getattr(self, name) > 0)

    def optimizer(self, groups: dict[str, nn.Module]) -> torch.optim.AdamW:
        """Return AdamW over the trained parameters, one named group each."""
        trained = [
            {"params": parameters, "lr": getattr(self, name), "name": name}
            for name, module in groups.items()
            if (parameters := [parameter for parameter in module.parameters() if parameter.requires_grad])
        ]
        # On CPU, `foreach` is not the default; the numbers are the same, with less work in Python.
        return torch.optim.AdamW(trained, betas=self.betas, weight_decay=self.weight_decay, foreach=True)

    def schedule(self, optimizer: torch.optim.Optimizer, steps: int) -> LambdaLR:
        """Return the warm-up and cosine over `steps` optimiser steps, which every group follows."""
        rising = max(1, round(self.warmup * steps))

        def share_of_peak(step: int) -> float:
            if step < rising:
                return (step + 1) / rising
            return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

        return LambdaLR(optimizer, share_of_peak)
