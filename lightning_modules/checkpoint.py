"""Is a file a checkpoint of ours? Asked before a model is built, so that a wrong path costs nothing."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch

KEYWORDS = ("best", "last", "hpc", "registry")


class CheckpointError(ValueError):
    """A file that is not a checkpoint of this project, or not one of this model."""


def check_checkpoint(path: str | Path, key: str = "ckpt_path", folder: bool = False) -> None:
    """Look whether `path` can be read as a checkpoint.

    Args:
        path: what the user gave.
        key: where they gave it.
        folder: whether it is to be a folder of DeepSpeed's, which goes on from nothing else.

    Raises:
        CheckpointError: missing, unreadable, or without the entries that a checkpoint of ours has.
    """
    if key == "ckpt_path" and (str(path) in KEYWORDS or str(path).startswith("registry:")):
        return
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"{key} {path} does not exist")
    if folder:
        if not (path / "checkpoint").is_dir():
            raise CheckpointError(
                f"{key} {path} is no checkpoint folder of DeepSpeed, which trainer.strategy is; init_from takes the "
                "weights of a file"
            )
        return
    if path.is_dir():
        raise CheckpointError(
            f"{key} {path} is a folder; if it is DeepSpeed's, a run with configs/trainer/zero2.yaml goes on from it, "
            'and this makes a file of it: python -c "from lightning.pytorch.utilities.deepspeed import '
            f"convert_zero_checkpoint_to_fp32_state_dict as convert; convert('{path}', 'FILE')\""
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{key} {path} is not a checkpoint: {first}") from None
    if not isinstance(content, dict) or not {"state_dict", "components"} <= content.keys():
        raise CheckpointError(
            f"{key} {path} is not a checkpoint of this project: it has no `state_dict` and `components`"
        )
