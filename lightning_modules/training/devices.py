"""What the devices, processes and threads of a run share: averages over all of them, random states, cores."""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, distributed, nn

from lightning_modules.training.model_input import ModelInput

SMALL = 20_000_000  # parameters of a model whose operations take about as long as threads need to find each other


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


class JoinedStatistics(Callback):
    """Gives every device the mean change of all devices' running statistics, after every backward pass.

    The mean of moving averages is the moving average of the means: what a device that sees all clips would have. What a
    stand-in has changed does not count. A validation, a test and a checkpoint then have the same statistics.
    """

    def __init__(self) -> None:
        self.statistics: list[Tensor] = []
        self.before: list[Tensor] = []
        self.counts = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the layers with running statistics."""
        norms = [norm for norm in pl_module.modules() if isinstance(norm, nn.BatchNorm1d | nn.SyncBatchNorm)]
        self.statistics = [buffer for norm in norms for buffer in norm.buffers()]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note the statistics before the batch, if they will be needed."""
        self.counts = isinstance(batch, ModelInput) and batch.counts and batch.clips_count
        alone = trainer.world_size == 1 and self.counts
        self.before = [] if alone else [buffer.clone() for buffer in self.statistics]

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Join the changes; not earlier, since the backward pass may read the statistics."""
        if not self.before:
            return
        pairs = list(zip(self.statistics, self.before, strict=True))
        moved = [(now - before).flatten().float() * self.counts for now, before in pairs]
        joined = torch.cat([*moved, moved[0].new_full((1,), float(self.counts))])
        if trainer.world_size > 1:
            distributed.all_reduce(joined)  # Lightning's own waits at a barrier first
        *sums, devices = joined.split([*map(len, moved), 1])
        for (now, before), total in zip(pairs, sums, strict=True):
            now.copy_(before + (total / devices.clamp(min=1)).view_as(before))


@contextmanager
def process_group_closed() -> Iterator[None]:
    """Close the group of a CPU training, if one was made, while Python still runs.

    Lightning closes NCCL's and leaves gloo's to the interpreter's exit. There its threads meet an interpreter that is
    half gone, and some processes that have done all their work end in an abort.
    """
    try:
        yield
    finally:
        if distributed.is_available() and distributed.is_initialized() and distributed.get_backend() == "gloo":
            gc.collect()  # the model, wrapped for DDP and part of a cycle, holds the group too
            distributed.destroy_process_group()


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Return the state as it is, ready for a checkpoint."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Go on with a state: with nothing of an empty one, and not with a device's that is of another kind of device.

    Raises:
        ValueError: it is none of this version of PyTorch.
    """
    try:
        if "cpu" in state:
            torch.set_rng_state(state["cpu"])
        if device.type == "cuda" and "cuda" in state:
            torch.cuda.set_rng_state(state["cuda"], device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"ckpt_path: its random_state cannot be used: {' '.join(str(error).split())}") from error


def use_threads(model: nn.Module, device: torch.device) -> str:
    """Have one thread for a small model on a CPU, where the user has not decided; return words about it, or none.

    A second thread gains 1.5 times at toy scale as long as nothing else runs. As soon as another process has one of the
    cores, every small operation waits for the thread that is not running, and a step takes 10 to 30 times as long.
    `OMP_NUM_THREADS` decides otherwise. A large model has all cores that the process may use, as torch gives them.
    """
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if device.type != "cpu" or "OMP_NUM_THREADS" in os.environ or parameters >= SMALL or torch.get_num_threads() == 1:
        return ""
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    return (
        f"computing with 1 thread instead of {cores}, as the model is small: several are slower as soon as another "
        "process wants a core; OMP_NUM_THREADS decides otherwise"
    )
