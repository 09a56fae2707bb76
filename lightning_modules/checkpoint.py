"""Is a file a checkpoint of ours? Asked before a model is built, so that a wrong path costs nothing."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch

KEYWORDS = ("best", "last", "hpc", "registry")


class CheckpointError(ValueError):
    """A file that is not a checkpoint of this project, or not one of this model."""


def check_checkpoint(path: str | Path, key: str = "ckpt_path") -> None:
    """Look whether `path` can be read as a checkpoint.

    Args:
        path: what the user gave.
        key: where they gave it.

    Raises:
        CheckpointError: missing, unreadable, or without the entries that a checkpoint of ours has.
    """
    if key == "ckpt_path" and (str(path) in KEYWORDS or str(path).startswith("registry:")):
        return
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{key} {path} does not exist")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{key} {path} is not a checkpoint: {first}") from None
    if not isinstance(content, dict) or not {"state_dict", "components"} <= content.keys():
        raise CheckpointError(
            f"{key} {path} is not a checkpoint of this project: it has no `state_dict` and `components`"
        )
