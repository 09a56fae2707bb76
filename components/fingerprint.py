"""Hashes of the values of tensors: of all their bits, or of samples of them."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

from components.stored_weights import stored_values

SAMPLE = 4096  # number of bytes at the beginning, in the middle and at the end of a tensor


def fingerprint(tensors: Iterable[tuple[str, Tensor]], settings: str = "") -> str:
    """Return a hash of names, dtypes, shapes and every bit of the tensors, in this order, and of `settings`."""
    digest = hashlib.sha256(settings.encode())
    for name, tensor in tensors:
        digest.update(_head(name, tensor))
        digest.update(_bits(stored_values(tensor).detach().flatten().to(tensor.dtype)))
    return digest.hexdigest()


def sampled_fingerprint(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """Return a hash of names, dtypes, shapes and three samples of 4 KiB of each tensor, in this order.

    It is fast even for billions of weights, and reads only the samples of a memory-mapped file. It distinguishes models
    from each other and from their trained versions, but does not notice a change outside the samples, unlike
    `fingerprint`.
    """
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(_head(name, tensor))
        flat = stored_values(tensor).detach().flatten()
        size = max(1, SAMPLE // tensor.element_size())
        for start in (0, max(0, (flat.numel() - size) // 2), max(0, flat.numel() - size)):
            digest.update(_bits(flat[start : start + size].to(tensor.dtype)))
    return digest.hexdigest()


def _head(name: str, tensor: Tensor) -> bytes:
    return f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()


def _bits(flat: Tensor) -> memoryview:
    return flat.cpu().contiguous().view(torch.uint8).numpy().data
