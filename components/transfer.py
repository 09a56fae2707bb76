"""Moves a batch to its device: on CUDA, everything that is not pinned by a single copy.

A batch has some thirty small index tensors. Each would be a copy of its own, out of memory that CUDA cannot read by
itself, so that the host would take part in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from jaxtyping import UInt8
from torch import Tensor

ALIGNMENT = 512  # bytes, as CUDA's allocator aligns a tensor by itself, so that kernels see no difference

Tree = TypeVar("Tree")


def to_device(tree: Tree, device: torch.device | str) -> Tree:
    """Return a tree with its tensors on `device`, copied without waiting; itself if they are there already.

    On CUDA, what is pinned (the frames, by the loader) is copied from where it is. The other tensors of the host are
    packed, and become views into one tensor, which lives as long as any of them.

    Args:
        tree: dataclass whose fields are tensors, such dataclasses, or anything else, which is kept as it is.
        device: device of the tensors.
    """
    device = torch.device(device)
    tensors = _tensors(tree)
    moved = {key: tensor.to(device, non_blocking=True) for key, tensor in tensors.items() if not _loose(tensor, device)}
    together = {key: tensor for key, tensor in tensors.items() if key not in moved}
    if together:
        buffer = pack(list(together.values())).to(device, non_blocking=True)
        moved |= zip(together, unpack(buffer, list(together.values())), strict=True)
    there = all(moved[key] is tensor for key, tensor in tensors.items())
    return tree if there else _with_tensors(tree, moved)


def pack(tensors: Sequence[Tensor]) -> UInt8[Tensor, " bytes"]:
    """Return the contents of tensors of the host one after the other, in pinned memory if there is CUDA.

    Torch uses that memory again only after the copies out of it have ended.
    """
    size = sum(tensor.nbytes + _gap(tensor) for tensor in tensors)
    buffer = torch.empty(size, dtype=torch.uint8, pin_memory=torch.cuda.is_available())
    for place, tensor in zip(unpack(buffer, tensors), tensors, strict=True):
        place.copy_(tensor)
    return buffer


def unpack(buffer: UInt8[Tensor, " bytes"], like: Sequence[Tensor]) -> list[Tensor]:
    """Return views into the buffer of `pack`, or a copy of it, with the types and shapes of the tensors in it."""
    sizes = [size for tensor in like for size in (tensor.nbytes, _gap(tensor))]
    return [
        place.view(tensor.dtype).view(tensor.shape)
        for place, tensor in zip(buffer.split(sizes)[::2], like, strict=True)
    ]


def _loose(tensor: Tensor, device: torch.device) -> bool:
    """Return whether a tensor is packed with others."""
    return device.type == "cuda" and tensor.device.type == "cpu" and not tensor.is_pinned()


def _gap(tensor: Tensor) -> int:
    """Return the number of bytes between the end of a tensor in the buffer and the next one."""
    return -tensor.nbytes % ALIGNMENT


def _tensors(tree: Any) -> dict[int, Tensor]:
    """Return the tensors of a tree by their identity, so that one that occurs twice is copied once."""
    if isinstance(tree, Tensor):
        return {id(tree): tree}
    found: dict[int, Tensor] = {}
    for name in _names(tree):
        found |= _tensors(getattr(tree, name))
    return found


def _with_tensors(tree: Any, moved: dict[int, Tensor]) -> Any:
    if isinstance(tree, Tensor):
        return moved[id(tree)]
    changed = {name: _with_tensors(getattr(tree, name), moved) for name in _names(tree)}
    return replace(tree, **changed) if changed else tree


def _names(tree: Any) -> list[str]:
    return [field.name for field in fields(tree)] if is_dataclass(tree) else []
