"""Memory per device under a `trainer.strategy`, from that of a training step on a single device."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from jsonargparse import Namespace
from torch import Tensor, nn

from components.language_models.pretrained_causal_lm import PretrainedCausalLM
from lightning_modules.costs.peak_memory import Precision
from lightning_modules.costs.training_memory import TrainingMemory, size
from lightning_modules.training.trainer_options import ReadStrategy, strategy_name
from lightning_modules.video_language import VideoLanguageModel

SINGLE = 4  # bytes of a float32, in which DeepSpeed keeps the trained weights


def replicated(single: TrainingMemory, model: VideoLanguageModel, precision: Precision, world: int) -> TrainingMemory:
    """Return a device's memory under DDP: the whole model, and buffers for the exchange of all gradients."""
    return replace(single, exchange=single.gradients if world > 1 else 0)


def fully_sharded(
    single: TrainingMemory, model: VideoLanguageModel, precision: Precision, world: int
) -> TrainingMemory:
    """Return a device's memory under `FullySharded` on one machine.

    Weights, gradients and optimiser state are sharded. Parameters outside of the units are gathered for a whole step;
    of the units, the one that runs and the next one, in the format they compute in, and the gradients of one.
    """
    units = [size(unit.parameters()) for unit in model.units()]
    learning = [size(_learning(unit)) for unit in model.units()]
    teacher = size(model.teacher.parameters()) if model.teacher not in model.units() else 0
    split = single.weights - teacher
    outside = split - sum(units)
    outside_gradient = single.gradients - sum(learning)
    fetched = sum(sorted(_gathered(unit, precision) for unit in model.units())[-2:]) + max(learning, default=0)
    return replace(
        single,
        weights=teacher + split // world,
        gradients=single.gradients // world,
        optimiser=single.optimiser // world,
        exchange=outside + outside_gradient + fetched if world > 1 else 0,
    )


def zero_2(single: TrainingMemory, model: VideoLanguageModel, precision: Precision, world: int) -> TrainingMemory:
    """Return a device's memory under DeepSpeed ZeRO-2.

    The model is kept in the lower precision, if there is one. A float32 copy of the trained weights, AdamW's two
    moments of it and the gradients are sharded (Rajbhandari et al., section 5.2).
    """
    lower = precision.weights or precision.operations
    bytes_each = lower.itemsize if lower is not None else SINGLE
    learning = sum(parameter.numel() for parameter in _learning(model))
    everything = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    return replace(
        single,
        weights=everything * bytes_each,
        gradients=learning * bytes_each // world,
        temporary=learning * bytes_each // world,
        optimiser=3 * learning * SINGLE // world,
    )


Strategy = Callable[[TrainingMemory, VideoLanguageModel, Precision, int], TrainingMemory]
# By name or class of `trainer.strategy`. FullySharded shards over the devices of a machine, ZeRO over all devices.
_WITHIN_A_MACHINE: dict[str, Strategy] = {"FullySharded": fully_sharded}
_OVER_ALL: dict[str, Strategy] = {
    "auto": replicated,
    "ddp": replicated,
    "DDPStrategy": replicated,
    "deepspeed_stage_2": zero_2,
    "DeepSpeedStrategy": zero_2,
}


def is_whole_on_each_device(strategy: ReadStrategy) -> bool:
    """Return whether every device has the whole model under a strategy, whose frozen weights can then be rounded."""
    return _OVER_ALL.get(strategy_name(strategy)) is replicated


def on_each_device(
    single: TrainingMemory,
    model: VideoLanguageModel,
    precision: Precision,
    strategy: ReadStrategy,
    devices: int,
    machines: int,
) -> TrainingMemory:
    """Return the memory per device under a strategy.

    Args:
        single: memory of a training on a single device.
        model: the model, on the meta device.
        precision: number formats.
        strategy: name or class of `trainer.strategy`.
        devices: number of devices per machine.
        machines: number of machines.

    Raises:
        ValueError: the strategy is not known here.
    """
    name, settings = strategy_name(strategy), _settings(strategy)
    stage = settings.get("stage", 2)
    if name in _WITHIN_A_MACHINE:
        return _WITHIN_A_MACHINE[name](single, model, precision, devices)
    if name not in _OVER_ALL or stage != 2:
        names = ", ".join([*_WITHIN_A_MACHINE, *_OVER_ALL])
        raise ValueError(
            f"trainer.strategy is {name}{f' of stage {stage}' if stage != 2 else ''}, whose memory is not known here; "
            f"known are {names} (DeepSpeed of stage 2)"
        )
    memory = _OVER_ALL[name](single, model, precision, devices * machines)
    # DDP's gradients can be views into its buffers.
    return replace(memory, exchange=0) if settings.get("gradient_as_bucket_view") else memory


def on_each_host(model: VideoLanguageModel, strategy: ReadStrategy, devices: int) -> int:
    """Return the memory in bytes of all processes of a machine together, without libraries, loaders and clips.

    Every process builds the whole model before it is moved or sharded; the exact weights that it keeps there during a
    test under bf16-mixed are fewer. Under `FullySharded`, the weights of a pretrained language model stay in their
    files, which all processes map, and the system may drop them from memory.

    Args:
        model: the model as it is built, on the meta device.
        strategy: name or class of `trainer.strategy`.
        devices: number of devices per machine.
    """
    built = size([*model.parameters(), *model.buffers()])
    if strategy_name(strategy) in _WITHIN_A_MACHINE and isinstance(model.language_model, PretrainedCausalLM):
        built -= size(map(model.language_model.get_parameter, model.language_model.base_names))
    return devices * built


def remedy(strategy: ReadStrategy, devices: int) -> str:
    """Return what to change if a device has too little memory."""
    smaller = "a smaller data.batch_size, or LoRA as model.language_model.adapter"
    if strategy_name(strategy) in _WITHIN_A_MACHINE:
        return f"set trainer.devices to more than {devices} per machine, {smaller}"
    several = "" if devices > 1 else " and trainer.devices to all of a machine"
    return f"add --config configs/trainer/fsdp.yaml{several}, or set {smaller}"


def _settings(strategy: ReadStrategy) -> dict[str, Any]:
    """Return the arguments of a strategy's class; those that it passes on are kept apart by the parser."""
    if isinstance(strategy, str):
        return {}
    return {**strategy.get("init_args", Namespace()).as_dict(), **(strategy.get("dict_kwargs") or {})}


def _learning(module: nn.Module) -> Iterable[Tensor]:
    return (parameter for parameter in module.parameters() if parameter.requires_grad)


def _gathered(unit: nn.Module, precision: Precision) -> int:
    return sum(weight.numel() * (precision.operations or weight.dtype).itemsize for weight in unit.parameters())
