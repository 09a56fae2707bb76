"""A training stage: which parts of the model are trained, at which learning rates (paper Table 6)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from components.positive import check_positive
from lightning_modules.training.fully_sharded import whole_tensor


@dataclass(frozen=True)
class Stage:
    """Learning rates per parameter group, their shared schedule, and the options of AdamW.

    The schedule is a linear warm-up to the peak rates, then a cosine to zero. A peak rate of 0 freezes the group.

    Attributes:
        encoder: peak learning rate of the video encoder.
        projector: peak learning rate of the projector.
        language_model: peak learning rate of the language model.
        distillation: peak learning rate of the head that predicts the teacher's features.
        warmup: length of the warm-up as a share of all optimiser steps, from 0 up to but not including 1.
        weight_decay: weight decay of AdamW on all trained parameters (the paper uses 0).
        betas: decay rates of AdamW's two moment estimates.
        global_batch: samples per optimiser step over all devices; gradients are accumulated to reach it. Default:
            `data.batch_size` x devices x `trainer.accumulate_grad_batches`.
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

    def accumulation(self, batch_size: int, devices: int, configured: int = 1) -> int:
        """Return the number of batches over which gradients accumulate, so that a step has `global_batch` samples.

        Args:
            batch_size: samples per device and batch.
            devices: number of devices over all machines.
            configured: `trainer.accumulate_grad_batches`, which is used without a `global_batch`.

        Raises:
            ValueError: `global_batch` is not a multiple of `batch_size` x `devices`, or both options are set.
        """
        if self.global_batch is None:
            return configured
        if configured != 1:
            raise ValueError(
                f"trainer.accumulate_grad_batches is {configured} and model.stage.global_batch is {self.global_batch}; "
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
        """Freeze the groups whose learning rate is 0, and make the others trainable.

        Args:
            groups: modules of `encoder`, `projector`, `language_model` and `distillation`.
        """
        for name, module in groups.items():
            module.requires_grad_(getattr(self, name) > 0)

    def optimizer(self, groups: dict[str, nn.Module], scaled: bool = False) -> torch.optim.AdamW:
        """Return AdamW over the trained parameters, with one named parameter group per part.

        Args:
            groups: modules of `encoder`, `projector`, `language_model` and `distillation`.
            scaled: whether losses are scaled, as in 16-mixed: the fused step would undo this only after clipping.
        """
        trained = [
            {"params": parameters, "lr": getattr(self, name), "name": name}
            for name, module in groups.items()
            if (parameters := [parameter for parameter in module.parameters() if parameter.requires_grad])
        ]
        # Neither is the default on CPU; the numbers are the same, with less work in Python.
        implementation = {"fused": not scaled, "foreach": scaled}

        def keep_implementation(_: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
            return state | {"param_groups": [group | implementation for group in state["param_groups"]]}

        optimizer = torch.optim.AdamW(trained, betas=self.betas, weight_decay=self.weight_decay, **implementation)
        optimizer.register_load_state_dict_pre_hook(keep_implementation)
        return optimizer

    def schedule(self, optimizer: torch.optim.Optimizer, steps: int) -> LambdaLR:
        """Return the schedule of warm-up and cosine over `steps` optimiser steps, shared by all groups."""
        rising = max(1, round(self.warmup * steps))

        def share_of_peak(step: int) -> float:
            if step < rising:
                return (step + 1) / rising
            return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

        return LambdaLR(optimizer, share_of_peak)


def clip(
    optimizer: torch.optim.Optimizer, limit: float | None, algorithm: str | None, scaled: bool = False
) -> Tensor | None:
    """Clip gradients in place, and return the norm that they all had before, which is computed only once.

    Args:
        optimizer: optimiser of the parameters; with DeepSpeed they store no gradients, and it clips by itself.
        limit: `trainer.gradient_clip_val`; None or 0 does not clip.
        algorithm: `trainer.gradient_clip_algorithm`: "value" limits every number, anything else the norm.
        scaled: whether losses are scaled, as in 16-mixed, which skips the step of an infinite gradient and reads it
            from the device anyway: its norm is no figure, so that None is returned.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return None
    norm = whole_tensor(nn.utils.get_total_norm(gradients))
    if limit and algorithm == "value":
        nn.utils.clip_grad_value_(parameters, limit)
    elif limit:
        nn.utils.clip_grads_with_norm_(parameters, limit, norm)
    return norm if not scaled or bool(norm.isfinite()) else None
