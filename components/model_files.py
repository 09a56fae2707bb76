"""Files of pretrained models: read as tensors only, and what to say when they are missing or damaged."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import torch
from huggingface_hub.constants import HF_HUB_CACHE
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
# What reading weights raises: unreadable, damaged, or more than tensors.
UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, EOFError, SafetensorError, pickle.UnpicklingError)


def read_weight_file(path: Path) -> object:
    """Read a safetensors or PyTorch file as tensors only: what else it holds is not run.

    Raises:
        ValueError: it is damaged, or holds more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content: object = torch.load(path, map_location="cpu", weights_only=True)
        return content
    except UNREADABLE as error:
        raise ValueError(f"{path} cannot be read as tensors only (damaged, or it holds code): {why(error)}") from error


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
