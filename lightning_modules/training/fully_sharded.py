"""Training with weights, gradients and optimiser state sharded over devices: torch's FSDP2, in Lightning's clothes.

A checkpoint is what a single device would have written, one file with whole tensors, so that it can be read on any
number of devices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

Value = TypeVar("Value")
STEPS = ("training_step", "validation_step", "test_step", "predict_step", "look")


class FullySharded(ModelParallelStrategy):
    """Shards the model over the devices of a machine, and keeps a copy of it on every machine.

    Between machines only gradients travel. (Lightning's mesh has the machines along its first axis and the devices of
    each along its second, which it names after other uses.)
    """

    def __init__(self) -> None:
        super().__init__(save_distributed_checkpoint=False)

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Let Lightning hand over the optimiser's state, which is not loaded with the file."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return the whole tensors on the first rank; the others help and return nothing."""
        assert self.lightning_module is not None
        return self._gathered(self.lightning_module.state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the state as an optimiser of one device has it, on the first rank."""
        return self._gathered(optimizer.state_dict())

    def _gathered(self, state: dict[str, Any]) -> dict[str, Any]:
        whole: dict[str, Any] = apply_to_collection(state, Tensor, self._gather)
        return whole if self.is_global_zero else {}

    def _gather(self, tensor: Tensor) -> Tensor | None:
        whole = whole_tensor(tensor)
        return whole.detach().cpu() if self.is_global_zero else None

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a file on every rank, without copying its tensors into memory."""
        content: dict[str, Any] = torch.load(
            self.broadcast(checkpoint_path), map_location="cpu", mmap=True, weights_only=True
        )
        return content

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Take this rank's shards out of whole tensors."""
        assert self.lightning_module is not None
        ours = self.lightning_module.state_dict()
        weights = {name: shard_like(tensor, ours.get(name)) for name, tensor in checkpoint["state_dict"].items()}
        self.lightning_module.load_state_dict(weights, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Take this rank's shards out of the state of an optimiser of one device."""
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            state = {
                number: {key: shard_like(value, parameters[number]) for key, value in entries.items()}
                for number, entries in saved["state"].items()
            }
            optimizer.load_state_dict(saved | {"state": state})


def whole_tensor(tensor: Tensor) -> Tensor:
    """Return all of a tensor that may be sharded; every rank must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shard_like(value: Value, model: Tensor | None) -> Value | Tensor:
    """Return this rank's shard of a whole tensor if `model`, of the same shape, is sharded; else `value` as it is."""
    if not isinstance(value, Tensor) or isinstance(value, DTensor):
        return value
    if not isinstance(model, DTensor) or value.shape != model.shape:
        return value
    # No rank sends its own: all have read the same file.
    return distribute_tensor(value.to(model.device), model.device_mesh, model.placements, src_data_rank=None)


def class_name(module: nn.Module) -> str:
    """Return the name of a module's class, also where sharding has put a class of its own in front of it."""
    return next(kind for kind in type(module).__mro__ if not issubclass(kind, FSDPModule)).__name__


def shard(module: nn.Module, units: Iterable[nn.Module], whole: nn.Module, mesh: DeviceMesh) -> None:
    """Shard `module` in place.

    Args:
        module: a LightningModule; what is in none of the units is gathered for the whole of a step.
        units: are gathered when they run and not longer; every rank must run each of them equally often.
        whole: is not sharded, unless it is a unit.
        mesh: of machines and the devices of each.

    Raises:
        ValueError: weights that are quantised.
    """
    for name, parameter in module.named_parameters():
        if not parameter.is_floating_point():
            raise ValueError(
                f"trainer.strategy is FullySharded, which cannot shard quantised weights ({name} is "
                f"{parameter.dtype}); set trainer.strategy to ddp, or language_model.quantization to NoQuantization"
            )
    for unit in units:
        fully_shard(unit, mesh=mesh)
    fully_shard(module, mesh=mesh, ignored_params=set(whole.parameters()))
    for step in STEPS:
        register_fsdp_forward_method(module, step)
