"""Reads files of pretrained models as tensors only, and explains why they are missing or damaged."""

from __future__ import annotations

import math
import pickle
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import torch
from huggingface_hub.constants import HF_HUB_CACHE
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
# The errors of reading weights that are unreadable, damaged (which makes unpickling raise anything), or not tensors.
UNREADABLE = (OSError, ValueError, LookupError, RuntimeError, EOFError, SafetensorError, pickle.UnpicklingError,
              AssertionError, AttributeError, TypeError, struct.error)  # fmt: skip


def read_weight_file(path: Path) -> object:
    """Read a safetensors or PyTorch file as tensors only; no code in it is run.

    Files of PyTorch have checksums, so damage is noticed; safetensors, and files of PyTorch before 1.6, have none.

    Raises:
        ValueError: the file is damaged, has more than tensors, or has NaN or infinite values.
    """
    try:
        content: object = load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
        bad = not_finite(content)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # unpickling damaged bytes may raise anything
        raise ValueError(f"{path} cannot be read as tensors only (damaged, or it holds code): {why(error)}") from error
    if bad is not None:
        raise ValueError(f"{path}: {bad} has NaN or infinite values")
    return content


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a weight file.

    Raises:
        ValueError: `read_weight_file` raises it, or the file has anything but tensors by name.
    """
    content = read_weight_file(path)
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in content.items()
    ):
        raise ValueError(f"{path} does not hold tensors by name")
    return content


def _unpickled(path: Path) -> object:
    has_checksums = zipfile.is_zipfile(path)  # the format since PyTorch 1.6, the only one that can be memory-mapped
    content: object = torch.load(path, map_location="cpu", weights_only=True, mmap=has_checksums)
    damaged = damaged_part(path) if has_checksums else None
    if damaged is not None:
        raise ValueError(f"the checksum of {damaged} in it is wrong")
    return content


def damaged_part(path: Path | IO[bytes]) -> str | None:
    """Return the name of the first part of a zip with a wrong checksum, or None; PyTorch does not check them."""
    with zipfile.ZipFile(path) as parts:
        return parts.testzip()


def not_finite(content: object, name: str = "") -> str | None:
    """Return the name of the first tensor or number that is NaN or infinite; None if all are finite.

    Tensors are read once, without a copy, at several GiB/s.

    Args:
        content: tensor, number, or nested mappings and lists of these.
        name: name of `content`; its parts have the names `name.key`.
    """
    if isinstance(content, Mapping | list | tuple):
        items = content.items() if isinstance(content, Mapping) else enumerate(content)
        parts = (not_finite(value, f"{name}.{key}" if name else str(key)) for key, value in items)
        return next((part for part in parts if part is not None), None)
    return None if _is_finite(content) else name


def _is_finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if not isinstance(value, Tensor) or not value.dtype.is_floating_point or 0 in value.shape:
        return True
    values = value.detach()  # which reads a tensor that is read when it is used
    values = values if values.element_size() > 1 else values.float()  # torch cannot compare 8-bit floats
    return bool(torch.stack(values.aminmax()).isfinite().all())  # aminmax returns NaN if there is one


def why(error: Exception) -> str:
    """Return in one line why files of a model cannot be read.

    For a file with code, PyTorch's message explains how to run it; this one says which code it is, and that it was not
    run.
    """
    code = re.search(r"GLOBAL (\S+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and code:
        return f"it holds {code[1]}, which is no tensor and was not run"
    return " ".join(str(error).split()).rstrip(".") or repr(error)


def whereabouts(name_or_path: str) -> str:
    """Return a message about where the files of a model were looked for, which are damaged, and how to provide them."""
    folder = Path(name_or_path)
    if folder.is_dir():
        files = sorted(file.name for file in folder.iterdir() if file.is_file())
        damaged = [name for name in files if name.endswith(".safetensors") and not _is_whole(folder / name)]
        return f"The folder has {', '.join(files) or 'no files'}" + (
            f"; damaged: {', '.join(damaged)}" if damaged else ""
        )
    if not _HUB_NAME.fullmatch(name_or_path):
        return "There is no such folder"
    return (
        f"There is no such folder, and no such model in the local cache {HF_HUB_CACHE} or on the hub; where the hub "
        f"can be reached, `hf download {name_or_path} --local-dir FOLDER` makes a folder to name here"
    )


def _is_whole(path: Path) -> bool:
    try:
        with safe_open(path, framework="pt"):
            return True
    except SafetensorError:
        return False
