"""Devices, processes and threads: averages over all devices, random states, the number of threads."""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, distributed, nn

from lightning_modules.training.model_input import ModelInput

SMALL = 20_000_000  # parameters; below this, operations take about as long as synchronising threads


def weighted(loss: Tensor, count: Tensor | int, trainer: Trainer) -> Tensor:
    """Weight a device's mean loss so that the mean over all devices is the mean over all items.

    Args:
        loss: mean loss over the items of this device.
        count: number of items on this device; with none, the loss has weight 0.
        trainer: the trainer of all devices; every device must call this at the same point.
    """
    if trainer.world_size == 1:
        return loss * (count > 0)
    # A number is written by the device itself, since a copy from the host would wait.
    counted = count.float() if isinstance(count, Tensor) else loss.new_full((), count, dtype=torch.float32)
    mean: Tensor = trainer.strategy.reduce(counted, reduce_op="mean")
    return loss * count / mean.clamp(min=1 / trainer.world_size)  # 0 / 0 where no device has any


class MeanLoss:
    """Mean loss of an evaluation over the samples of all devices, which may differ in number.

    Lightning's own mean rounds the number of samples per device down to an integer.
    """

    def __init__(self) -> None:
        """Start with no samples."""
        self.total = torch.zeros((), dtype=torch.float64)
        self.samples = 0

    def add(self, loss: Tensor, samples: int) -> None:
        """Add the mean loss of a number of samples on this device; a stand-in has 0 samples."""
        if samples:
            self.total = self.total.to(loss.device) + loss.detach().double() * samples
            self.samples += samples

    def figures(self, strategy: Strategy) -> dict[str, float]:
        """Return the mean as `loss`; nothing without samples, or, with a warning, if the loss is not finite.

        Args:
            strategy: strategy of the trainer; every device must call this at the same point.
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
    """Averages the changes of batch normalisation's running statistics over all devices after every backward pass.

    The mean of moving averages is the moving average of the means, as on a device that sees all clips. Changes by a
    stand-in do not count. Validation, test and checkpoint then use the same statistics.
    """

    def __init__(self) -> None:
        self.statistics: list[Tensor] = []
        self.before: list[Tensor] = []
        self.is_real = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the layers with running statistics."""
        norms = [norm for norm in pl_module.modules() if isinstance(norm, nn.BatchNorm1d | nn.SyncBatchNorm)]
        self.statistics = [buffer for norm in norms for buffer in norm.buffers()]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Copy the statistics before the batch, if they will be needed."""
        self.is_real = isinstance(batch, ModelInput) and batch.is_real and batch.has_real_clips
        is_single = trainer.world_size == 1 and self.is_real
        self.before = [] if is_single else [buffer.clone() for buffer in self.statistics]

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Average the changes; only now, since the backward pass may read the statistics."""
        if not self.before:
            return
        pairs = list(zip(self.statistics, self.before, strict=True))
        moved = [(now - before).flatten().float() * self.is_real for now, before in pairs]
        joined = torch.cat([*moved, moved[0].new_full((1,), float(self.is_real))])
        if trainer.world_size > 1:
            distributed.all_reduce(joined)  # Lightning's own reduction waits at a barrier first
        *sums, devices = joined.split([*map(len, moved), 1])
        for (now, before), total in zip(pairs, sums, strict=True):
            now.copy_(before + (total / devices.clamp(min=1)).view_as(before))


class RandomStates(Callback):
    """Gives every process random numbers of its own, and stores their states in checkpoints.

    All processes build the same model, so they have the same random state until the training starts, and would drop the
    same features. The first one keeps it, so that a single device is not concerned.
    """

    def __init__(self) -> None:
        self.saved: dict[str, Tensor] = {}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the states of the generators of the CPU and of the GPU, if there is one: (ranks, bytes)."""
        device, states = trainer.strategy.root_device, {"cpu": torch.get_rng_state()}
        if device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(device)
        gathered = {kind: trainer.strategy.all_gather(state.to(device)) for kind, state in states.items()}
        checkpoint["random_state"] = {kind: state.cpu().view(-1, state.shape[-1]) for kind, state in gathered.items()}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Note the states for the start of the training; that of an older file is the first process's."""
        states: dict[str, Tensor] = checkpoint.get("random_state", {})
        self.saved = {kind: state.view(-1, state.shape[-1]) for kind, state in states.items()}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the state of this process; without one, seed it from that of the first process and its rank.

        Raises:
            ValueError: this version of PyTorch cannot use the state.
        """
        rank, device = trainer.global_rank, trainer.strategy.root_device
        # Copies, since torch reads a state from the beginning of its storage, whatever part of it a view shows.
        states = {kind: saved[rank if rank < len(saved) else 0].clone() for kind, saved in self.saved.items()}
        try:
            if "cpu" in states:
                torch.set_rng_state(states["cpu"])
            if device.type == "cuda" and "cuda" in states:
                torch.cuda.set_rng_state(states["cuda"], device)
        except (RuntimeError, TypeError) as error:
            raise ValueError(f"ckpt_path: its random_state cannot be used: {' '.join(str(error).split())}") from error
        if rank and rank >= len(self.saved.get("cpu", ())):
            torch.manual_seed(int(torch.randint(2**62, (1,))) + rank)


@contextmanager
def process_group_closed() -> Iterator[None]:
    """Close the process group of a training on CPUs, if there is one, before Python exits.

    Lightning closes NCCL's group and leaves gloo's to the interpreter's exit, where its threads can abort a process
    that has done all its work.
    """
    try:
        yield
    finally:
        if distributed.is_available() and distributed.is_initialized() and distributed.get_backend() == "gloo":
            gc.collect()  # the model, wrapped for DDP and part of a cycle, holds the group too
            distributed.destroy_process_group()


def use_threads(model: nn.Module, device: torch.device) -> str:
    """Use one thread for a small model on a CPU, unless the user has set a number; return a message, or nothing.

    At toy scale a second thread is 1.5 times as fast while nothing else runs. As soon as another process uses one of
    the cores, every small operation waits for the thread that is not running, and a step takes 10 to 30 times as long.
    `OMP_NUM_THREADS` overrides this. A large model uses all cores that torch gives it.
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
