"""Weights that stay in their files until they are sharded, so that a machine does not hold them once per process.

A file that is mapped into memory is held by the system, once for all processes that map it and only while there is
room. Weights in another number format than their file's would have to be converted, by every process for itself.
Inside `weights_in_files`, pretrained networks are built with `StoredWeight`s instead, which are converted when read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Self

import torch
from torch import Tensor, nn

_IN_FILES = ContextVar("weights stay in files", default=False)


@contextmanager
def weights_in_files(stay: bool) -> Iterator[None]:
    """Build pretrained networks whose weights stay in their files, if `stay`; to be read by `read_stored`."""
    before = _IN_FILES.set(stay)
    try:
        yield
    finally:
        _IN_FILES.reset(before)


def stay_in_files() -> bool:
    """Return whether the weights of a pretrained network that is being built stay in their files."""
    return _IN_FILES.get()


class StoredWeight(nn.Parameter):
    """A parameter with its own shape and number format, but without memory: until it is read, it is NaN.

    Attributes:
        stored: its values, mapped from a file, in the format of the file; None once they are read.
    """

    stored: Tensor | None

    @classmethod
    def of(cls, stored: Tensor, dtype: torch.dtype) -> Self:
        """Return a parameter of values that are mapped from a file."""
        weight = cls(no_memory(stored.shape, dtype))
        weight.stored = stored.detach()
        return weight


def no_memory(shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """Return a tensor of a single NaN in memory, which no computation takes for weights."""
    return torch.full((), math.nan, dtype=dtype).expand(shape)


def stored_values(tensor: Tensor) -> Tensor:
    """Return the values of a tensor; those of a `StoredWeight` are in the format of its file."""
    return tensor if not isinstance(tensor, StoredWeight) or tensor.stored is None else tensor.stored


def overwrite(tensor: Tensor, replacement: Tensor) -> None:
    """Copy values of the same shape into a tensor; a `StoredWeight` remembers them instead, where they are."""
    if isinstance(tensor, StoredWeight) and tensor.stored is not None:
        tensor.stored = replacement
    else:
        tensor.copy_(replacement)


def read_stored(module: nn.Module, device: torch.device) -> None:
    """Read the weights of a module that are still in files into the memory of a device."""
    for weight in module.parameters():
        if isinstance(weight, StoredWeight) and weight.stored is not None:
            # Converted where they go, so that a GPU leaves no copy in the memory of the host.
            weight.data = weight.stored.to(device).to(weight.dtype)
            weight.stored = None
