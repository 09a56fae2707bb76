"""A short name for the values of tensors."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


def fingerprint(tensors: Iterable[tuple[str, Tensor]], settings: str = "") -> str:
    """Return a hash of names, dtypes, shapes and every bit of the tensors, in this order, and of `settings`."""
    digest = hashlib.sha256(settings.encode())
    for name, tensor in tensors:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
