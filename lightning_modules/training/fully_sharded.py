"""Training with weights, gradients and optimiser state sharded over devices: torch's FSDP2 as a Lightning strategy.

A checkpoint is the same as that of a single device, one file with whole tensors, so any number of devices can read it.
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
STEPS = ("training_step", "validation_step", "test_step", "predict_step", "run_for_hooks")


class FullySharded(ModelParallelStrategy):
    """Shards the model over the devices of a machine, and keeps a copy of it on every machine.

    Machines exchange gradients only. (The first axis of Lightning's mesh is machines and the second is the devices of
    a machine, although it names them after other uses.)
    """

    def __init__(self) -> None:
        super().__init__(save_distributed_checkpoint=False)

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Let Lightning restore the optimiser's state, since `load_checkpoint` does not."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return the whole tensors on the first rank; the others take part and return nothing."""
        assert self.lightning_module is not None
        return self._gathered(self.lightning_module.state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the state as that of an optimiser on one device, on the first rank; the others return nothing."""
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
        """Load this rank's shards from whole tensors."""
        assert self.lightning_module is not None
        ours = self.lightning_module.state_dict()
        weights = {name: shard_like(tensor, ours.get(name)) for name, tensor in checkpoint["state_dict"].items()}
        self.lightning_module.load_state_dict(weights, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Load this rank's shards from the state of an optimiser on one device."""
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            state = {
                number: {key: shard_like(value, parameters[number]) for key, value in entries.items()}
                for number, entries in saved["state"].items()
            }
            optimizer.load_state_dict(saved | {"state": state})


def whole_tensor(tensor: Tensor) -> Tensor:
    """Return the whole of a tensor that may be sharded; every rank must call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shard_like(value: Value, model: Tensor | None) -> Value | Tensor:
    """Return this rank's shard of a whole tensor if `model`, of the same shape, is sharded; else `value` as it is."""
    if not isinstance(value, Tensor) or isinstance(value, DTensor):
        return value
    if not isinstance(model, DTensor) or value.shape != model.shape:
        return value
    # All ranks have read the same file, so none sends its tensor to the others.
    return distribute_tensor(value.to(model.device), model.device_mesh, model.placements, src_data_rank=None)


def class_name(module: nn.Module) -> str:
    """Return the name of a module's class, skipping the subclass that sharding puts in front of it."""
    return next(kind for kind in type(module).__mro__ if not issubclass(kind, FSDPModule)).__name__


def shard(module: nn.Module, units: Iterable[nn.Module], whole: nn.Module, mesh: DeviceMesh) -> None:
    """Shard `module` in place.

    Args:
        module: a LightningModule; its parameters outside of `units` are gathered for a whole step.
        units: modules that are gathered only while they run; every rank must run each of them equally often.
        whole: module that is not sharded, unless it is one of the units.
        mesh: device mesh of machines and their devices.

    Raises:
        ValueError: the weights are quantised.
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
