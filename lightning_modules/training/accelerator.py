"""The CUDA devices of a run: whether they can do what is asked, too little memory, and how float32 is multiplied."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jsonargparse import Namespace

# What torch says, in a RuntimeError, when the host's memory is used up.
_HOST_MEMORY = "DefaultCPUAllocator"
_SMALLER_TRAINING = (
    "a smaller data.init_args.batch_size (model.stage.global_batch keeps the size of a step; eval_batch_size for "
    "answers), model.language_model.init_args.gradient_checkpointing=true, LoRA (experiments/lora.yaml), "
    "trainer.precision=bf16-mixed, several devices with configs/trainer/fsdp.yaml; `video-panda plan` with the same "
    "--config, and --stages without a value, works out the memory of each before it is tried"
)


def check_devices(trainer: Namespace) -> None:
    """Refuse devices that this machine does not have, before anything is built.

    Raises:
        ValueError: a GPU is asked for and there is none, or more processes than cores.
    """
    if trainer.accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        if torch.backends.mps.is_available() and trainer.accelerator == "gpu":
            return
        reason = "PyTorch finds no CUDA device here; `nvidia-smi` shows whether the driver does, and "
        reason += f"CUDA_VISIBLE_DEVICES is {os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}"
        if torch.version.cuda is None and torch.version.hip is None:
            reason = f"PyTorch {torch.__version__} is built without CUDA; install one with CUDA"
        raise ValueError(f"trainer.accelerator is {trainer.accelerator}, but {reason}; without a GPU set it to cpu")
    on_cpu = trainer.accelerator == "cpu" or (trainer.accelerator == "auto" and not torch.accelerator.is_available())
    cores = os.cpu_count() or 1
    if on_cpu and str(trainer.devices).isdecimal() and int(trainer.devices) > cores:
        raise ValueError(
            f"trainer.devices is {trainer.devices}, which on a CPU is a number of processes, and this machine has "
            f"{cores} cores; set it to 1"
        )


def use_own_device(devices: int | str | list[int]) -> None:
    """Make the GPU of this process the current one before the model is built: a quantised part is loaded there.

    Lightning does the same, but only after the model is built. Devices that do not exist are left to its errors.

    Args:
        devices: `trainer.devices`; a list, or a text with commas, names devices, and anything else counts them.
    """
    rank = int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")))
    if isinstance(devices, str):
        devices = [int(number) for number in devices.split(",") if number.strip()] if "," in devices else 0
    named = devices if isinstance(devices, list) else range(torch.cuda.device_count())
    if rank < len(named) and 0 < named[rank] < torch.cuda.device_count():  # the first one is the current one anyway
        torch.cuda.set_device(named[rank])


def check_cuda(device: torch.device, precision: str) -> None:
    """Refuse a CUDA device that cannot be used, or not in this precision.

    Args:
        device: device of this process; another kind than CUDA passes.
        precision: `trainer.precision`.

    Raises:
        ValueError: the driver is too old for this PyTorch, or the device would only emulate bfloat16, which is slower
            than float32.
    """
    if device.type != "cuda":
        return
    try:
        torch.cuda.init()
    except RuntimeError as error:
        raise ValueError(
            f"the CUDA device cannot be used by PyTorch {torch.__version__}, which is built for CUDA "
            f"{torch.version.cuda}: {' '.join(str(error).split())} (trainer.accelerator=cpu needs none)"
        ) from error
    with torch.cuda.device(device):
        if precision.startswith("bf16") and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise ValueError(
                f"trainer.precision is {precision}, and {torch.cuda.get_device_name(device)} has no bfloat16 (devices "
                "from Ampere on have it); set it to 32-true"
            )


def use_tf32(device: torch.device) -> None:
    """Let a CUDA device multiply float32 matrices in TF32, unless the user has chosen.

    TF32 rounds factors to 10 bits of mantissa, more than bfloat16's 7, and adds in float32; products are several times
    as fast. The CPU is not changed. Choices that stay: `NVIDIA_TF32_OVERRIDE=0`, which gives exact float32, and any
    `torch.set_float32_matmul_precision` before.
    """
    chosen = "NVIDIA_TF32_OVERRIDE" in os.environ or torch.get_float32_matmul_precision() != "highest"
    if device.type == "cuda" and not chosen:
        torch.set_float32_matmul_precision("high")


@contextmanager
def memory_errors(smaller: str = _SMALLER_TRAINING) -> Iterator[None]:
    """Report in one line that the memory of the device or the host does not suffice, and what needs less.

    Args:
        smaller: what needs less memory.

    Raises:
        ValueError: the memory does not suffice.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and _HOST_MEMORY not in str(error):
            raise
        place = "the GPU" if isinstance(error, torch.OutOfMemoryError) else "this machine"
        said = " ".join(str(error).split()).partition(" If reserved but")[0]  # without advice about fragments
        raise ValueError(
            f"the memory of {place} does not suffice: {said[:300].rstrip('.')}. Needs less: {smaller}"
        ) from error
