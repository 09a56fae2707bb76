"""How checkpoints come onto the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from components.whole_file import whole_file


class WholeFileIO(TorchCheckpointIO):
    """Writes a checkpoint beside the earlier one, and puts it in its place once it is whole and on the disk.

    Lightning writes into the folder for temporary files and copies from there, over the earlier checkpoint where that
    is another file system, and holds all of it in memory once more.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            OSError: as `whole_file`.
        """
        if "://" in str(path):  # no file of this machine
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        with whole_file(Path(path)) as unfinished, unfinished.open("wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # of its own, where the disk is full
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise
