"""Reads and writes model folders in the Hugging Face format: config.json, weight files and tokenizer.

Weight files are read as tensors only: safetensors, or pickles without executing any code.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import save_torch_state_dict
from safetensors import SafetensorError
from torch import Tensor

from components import model_files
from components.files import UNFINISHED, read_object

_WEIGHTS = ("model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin")
_TOKENIZER = (
    "tokenizer.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")  # as safetensors reports it


class FolderError(ValueError):
    """A model folder that cannot be read or written."""


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield a folder to write into, which becomes `out` once everything is written: `out` is never half a model.

    A killed program leaves `.OUT.*.unfinished` beside it, which can be deleted.

    Raises:
        FolderError: `out` is not empty or not a folder, or files cannot be written, for example to a full disk.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FolderError(f"{out} is not empty; name a new folder with --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=UNFINISHED, dir=out.parent) as place:
        unfinished = Path(place) / out.name
        unfinished.mkdir()
        (usual := Path(place) / "usual").touch()
        try:
            yield unfinished
        except SafetensorError as error:
            number = _SYSTEM_ERROR.search(str(error))
            reason = os.strerror(int(number[1])) if number else error
            raise FolderError(f"{out} cannot be written: {reason}") from error
        except OSError as error:
            if error.filename and not str(error.filename).startswith(place):  # about a file that is read
                raise
            raise FolderError(f"{out} cannot be written: {error.strerror or error}") from error
        for file in unfinished.rglob("*"):
            if file.is_file():  # safetensors since 0.8 lets only the owner read its files
                file.chmod(usual.stat().st_mode)
        unfinished.replace(out)


def read_config(folder: Path) -> dict[str, Any]:
    """Read config.json.

    Raises:
        FolderError: the folder or the file does not exist, or the file is not a JSON object.
    """
    return read_json(folder / "config.json")


def read_json(path: Path) -> dict[str, Any]:
    """Read a file with a JSON object.

    Raises:
        FolderError: the file does not exist or is not a JSON object.
    """
    try:
        return read_object(path)
    except FileNotFoundError:
        raise FolderError(f"{path.parent} has no {path.name}; it must be a folder with a model") from None
    except ValueError as error:
        raise FolderError(str(error)) from error


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Read all tensors, from one weight file or from the parts listed in an index.

    Raises:
        FolderError: there are no weights, a part is missing or cannot be read as tensors only, or a part lacks a tensor
            that the index lists.
    """
    path = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        raise FolderError(f"{folder} has no weights; looked for {', '.join(_WEIGHTS)}")
    if path.suffix != ".json":
        return read_weights(path)
    try:
        parts: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        if not isinstance(parts, dict) or not all(isinstance(part, str) for part in parts.values()):
            raise TypeError("weight_map does not hold names of files by names of tensors")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FolderError(f"{path} is no index of weight files: {error!r}") from error
    absent = sorted({part for part in parts.values() if not (folder / part).is_file()})
    if absent:
        raise FolderError(f"{folder} lacks {len(absent)} of the weight files that its index names: {', '.join(absent)}")
    content = {part: read_weights(folder / part) for part in sorted(set(parts.values()))}
    lost = [key for key, part in parts.items() if key not in content[part]]
    if lost:
        raise FolderError(f"{path} says that {parts[lost[0]]} has {lost[0]}, which it has not ({len(lost)} in all)")
    return {key: content[part][key] for key, part in parts.items()}


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read all tensors of one weight file.

    Raises:
        FolderError: the file cannot be read, or has anything but finite tensors by name.
    """
    try:
        return model_files.read_weights(path)
    except ValueError as error:
        raise FolderError(str(error)) from error


def write_model(folder: Path, config: Mapping[str, Any], tensors: dict[str, Tensor], tokenizer_from: Path) -> None:
    """Write a folder with config.json, safetensors in parts of at most 5 GB, and the tokenizer of another folder.

    Raises:
        FolderError: `tokenizer_from` has no tokenizer.
    """
    names = [name for name in _TOKENIZER if (tokenizer_from / name).is_file()]
    if not {"tokenizer.model", "tokenizer.json"} & set(names):
        raise FolderError(f"{tokenizer_from} has no tokenizer: neither tokenizer.model nor tokenizer.json")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(dict(config), indent=2) + "\n", encoding="utf-8")
    # Tensors that share memory would be written only once.
    seen: set[int] = set()
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        tensors[name] = (tensor.clone() if place in seen else tensor).contiguous()
        seen.add(place)
    save_torch_state_dict(tensors, folder)
    for name in names:
        shutil.copyfile(tokenizer_from / name, folder / name)
