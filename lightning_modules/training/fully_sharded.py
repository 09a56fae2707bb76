"""Training with weights, gradients and optimiser state sharded over devices: torch's FSDP2 as a Lightning strategy.

A checkpoint is a folder with the shards of every rank, which any number of devices and a single one can read.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from components.files import unfinished_name
from components.stored_weights import read_stored
from lightning_modules.training.checkpoint import read_checkpoint
from lightning_modules.training.distributed_checkpoint import StoredTensor, save_sharded

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
        """Return this rank's shards."""
        assert self.lightning_module is not None
        return self.lightning_module.state_dict()

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return this rank's shards of the state, which is otherwise that of an optimiser on one device."""
        return optimizer.state_dict()

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write the shards of every rank, and by the first rank all the rest.

        Raises:
            OSError: a file cannot be written; the earlier checkpoint is kept.
        """
        path = Path(self.broadcast(filepath))
        unfinished = self.broadcast(unfinished_name(path))
        save_sharded(checkpoint, path, unfinished)
        self.barrier()
        shutil.rmtree(unfinished, ignore_errors=True)  # empty files on machines that do not see the disk of the first

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint on every rank, without copying its tensors into memory."""
        return read_checkpoint(Path(self.broadcast(checkpoint_path)), "ckpt_path")

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Load this rank's shards."""
        assert self.lightning_module is not None
        ours = self.lightning_module.state_dict()
        weights = {name: shard_like(tensor, ours.get(name)) for name, tensor in checkpoint["state_dict"].items()}
        self.lightning_module.load_state_dict(weights, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Load this rank's shards of the state."""
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
    if isinstance(value, StoredTensor):  # of which only the rows of this rank are read
        numbers = torch.arange(len(model), device=model.device)
        rows = distribute_tensor(numbers, model.device_mesh, model.placements, src_data_rank=None).to_local().tolist()
        shard = torch.empty_like(model, dtype=value.dtype)
        assert isinstance(shard, DTensor)
        if rows:
            shard.to_local().copy_(value.read(rows[0], rows[-1] + 1))
        return shard
    # All ranks have read the same file, so none sends its tensor to the others.
    return distribute_tensor(value.to(model.device), model.device_mesh, model.placements, src_data_rank=None)


def class_name(module: nn.Module) -> str:
    """Return the name of a module's class, skipping the subclass that sharding puts in front of it."""
    return next(kind for kind in type(module).__mro__ if not issubclass(kind, FSDPModule)).__name__


def policy_of(precision: Precision) -> MixedPrecisionPolicy:
    """Return the number formats in which units are gathered and their gradients summed.

    Under bf16-mixed, weights are gathered in bfloat16, which autocast would make of them anyway, and gradients are
    summed in float32. Inputs are left to autocast, so that what runs between layers stays in float32.
    """
    if not isinstance(precision, MixedPrecision):
        return MixedPrecisionPolicy()
    return MixedPrecisionPolicy(torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False)


@contextmanager
def kept_gathered(module: nn.Module) -> Iterator[bool]:
    """Gather the units of a sharded model once for many forward passes, such as one per token of an answer.

    Where they do not fit into half of the free memory of every device, they are gathered for each pass as usual.
    Every rank must enter this. A module that is not sharded is left as it is. The value is whether it is sharded.
    """
    units = [unit for unit in module.modules() if isinstance(unit, FSDPModule) and unit is not module]
    if not units or not _fit(units):
        yield isinstance(module, FSDPModule)
        return
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
    try:
        yield True
    finally:
        for unit in units:
            unit.set_reshard_after_forward(True, recurse=False)
            unit.reshard()


def _fit(units: Iterable[nn.Module]) -> bool:
    """Return whether the gathered units fit into half of the free memory of every device; a CPU has enough."""
    weights = [weight for unit in units for weight in unit.parameters()]
    device = weights[0].device
    if device.type != "cuda":
        return True
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # kept by torch's allocator
    free = torch.cuda.mem_get_info(device)[0] + unused
    # In the sharded format, which is at least as large as the gathered one.
    fits = torch.tensor(int(2 * sum(weight.nbytes for weight in weights) < free), device=device)
    distributed.all_reduce(fits, distributed.ReduceOp.MIN)  # all must decide alike, or some would wait for ever
    return bool(fits)


def shard(
    module: nn.Module, units: Iterable[nn.Module], whole: nn.Module, mesh: DeviceMesh, policy: MixedPrecisionPolicy
) -> None:
    """Shard `module` in place, unless it is already.

    Weights that are still in their files are read here, one unit after the other, so that no process ever holds them
    all.

    Args:
        module: a LightningModule; its parameters outside of `units` are gathered for a whole step.
        units: modules that are gathered only while they run; every rank must run each of them equally often.
        whole: module that is not sharded, unless it is one of the units.
        mesh: device mesh of machines and their devices.
        policy: number formats of the units; parameters outside of them keep theirs, since the model reads them.

    Raises:
        ValueError: the weights are quantised.
    """
    if isinstance(module, FSDPModule):
        return
    for name, parameter in module.named_parameters():
        if not parameter.is_floating_point():
            raise ValueError(
                f"trainer.strategy is FullySharded, which cannot shard quantised weights ({name} is "
                f"{parameter.dtype}); set trainer.strategy to ddp, or language_model.quantization to NoQuantization"
            )
    device = torch.device(mesh.device_type)
    for unit in units:
        read_stored(unit, device)
        fully_shard(unit, mesh=mesh, mp_policy=policy)
    read_stored(module, device)
    fully_shard(module, mesh=mesh, ignored_params=set(whole.parameters()))
    for step in STEPS:
        register_fsdp_forward_method(module, step)
