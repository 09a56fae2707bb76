"""Is a file a checkpoint of ours? Asked before a model is built, so that a wrong path costs nothing."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch

KEYWORDS = ("best", "last", "hpc", "registry")


class CheckpointError(ValueError):
    """A `ckpt_path` that is not a checkpoint of this project."""


def check_checkpoint(path: str | Path) -> None:
    """Look whether `path` can be read as a checkpoint.

    Raises:
        CheckpointError: missing, unreadable, or without the entries that a checkpoint of ours has.
    """
    if str(path) in KEYWORDS or str(path).startswith("registry:"):
        return
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"ckpt_path {path} does not exist")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"ckpt_path {path} is not a checkpoint: {first}") from None
    if not isinstance(content, dict) or not {"state_dict", "components"} <= content.keys():
        raise CheckpointError(
            f"ckpt_path {path} is not a checkpoint of this project: it has no `state_dict` and `components`"
        )
