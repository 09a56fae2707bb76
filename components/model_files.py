"""Files of pretrained models: read as tensors only, and what to say when they are missing or damaged."""

from __future__ import annotations

import math
import pickle
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from huggingface_hub.constants import HF_HUB_CACHE
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
# What reading weights raises: unreadable, damaged (unpickling comes to anything then), or more than tensors.
UNREADABLE = (OSError, ValueError, LookupError, RuntimeError, EOFError, SafetensorError, pickle.UnpicklingError,
              AssertionError, AttributeError, TypeError, struct.error)  # fmt: skip


def read_weight_file(path: Path) -> object:
    """Read a safetensors or PyTorch file as tensors only: what else it holds is not run.

    Of damage, what shows: PyTorch's files have checksums; safetensors, and PyTorch's before version 1.6, have none.

    Raises:
        ValueError: it is damaged, holds more than tensors, or has values that are NaN or infinite.
    """
    try:
        content: object = load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
        bad = not_finite(content)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # whatever unpickling damaged bytes comes to
        raise ValueError(f"{path} cannot be read as tensors only (damaged, or it holds code): {why(error)}") from error
    if bad is not None:
        raise ValueError(f"{path}: {bad} has NaN or infinite values")
    return content


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a weight file.

    Raises:
        ValueError: as `read_weight_file`, or it holds anything else than tensors by name.
    """
    content = read_weight_file(path)
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in content.items()
    ):
        raise ValueError(f"{path} does not hold tensors by name")
    return content


def _unpickled(path: Path) -> object:
    has_checksums = zipfile.is_zipfile(path)  # the format since PyTorch 1.6, which alone can be mapped into memory
    content: object = torch.load(path, map_location="cpu", weights_only=True, mmap=has_checksums)
    damaged = damaged_part(path) if has_checksums else None
    if damaged is not None:
        raise ValueError(f"the checksum of {damaged} in it is wrong")
    return content


def damaged_part(path: Path) -> str | None:
    """Return the name of the first part of a zip whose checksum is wrong, which PyTorch does not look at; or None."""
    with zipfile.ZipFile(path) as parts:
        return parts.testzip()


def not_finite(content: object, name: str = "") -> str | None:
    """Return the name of the first tensor or number that is NaN or infinite; None if all are finite.

    Tensors are read once and not copied, at some GiB/s.

    Args:
        content: a tensor, a number, or mappings and lists of them, in each other.
        name: of `content`; what is in it is called `name.key`.
    """
    if isinstance(content, Mapping | list | tuple):
        items = content.items() if isinstance(content, Mapping) else enumerate(content)
        parts = (not_finite(value, f"{name}.{key}" if name else str(key)) for key, value in items)
        return next((part for part in parts if part is not None), None)
    return None if _is_finite(content) else name


def _is_finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if not isinstance(value, Tensor) or not value.is_floating_point() or value.numel() == 0:
        return True
    values = value.detach() if value.element_size() > 1 else value.float()  # torch compares no numbers of eight bits
    return bool(torch.stack(values.aminmax()).isfinite().all())  # a NaN comes through


def why(error: Exception) -> str:
    """Return in one line why files of a model cannot be read.

    PyTorch says of a file with code that it can be run; here it says which code, and that it was not.
    """
    code = re.search(r"GLOBAL (\S+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and code:
        return f"it holds {code[1]}, which is no tensor and was not run"
    return " ".join(str(error).split()).rstrip(".") or repr(error)


def whereabouts(name_or_path: str) -> str:
    """Say where the files of a model were looked for, which are damaged, and how to provide them."""
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
