"""The sizes of released models without their weights, for counting costs.

Under `with torch.device("meta")`, a pretrained model is built without weights from its config.json, or, if that is not
on this machine, from its sizes in `published_configs.json`.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from transformers.utils.hub import cached_file

PUBLISHED: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("published_configs.json").read_text())


def only_sizes() -> bool:
    """Return whether models are built on the meta device, without memory for their weights."""
    return torch.get_default_device().type == "meta"


def sizes_of(name_or_path: str, key: str) -> dict[str, Any]:
    """Return the content of a model's config.json, without a download.

    Args:
        name_or_path: folder, or name on the Hugging Face hub.
        key: YAML key of the model, for the error.

    Raises:
        ValueError: config.json is neither in a folder nor in the local cache and the sizes are not known here, or the
            file is not JSON.
    """
    try:
        path = cached_file(name_or_path, "config.json", local_files_only=True)
    except OSError:
        path = None
    if path is None:
        if name_or_path in PUBLISHED:
            return PUBLISHED[name_or_path]
        raise ValueError(
            f"{key} is {name_or_path!r}: there is no config.json in such a folder or in the local cache of the hub, "
            f"and its sizes are not among the known ones ({', '.join(PUBLISHED)})"
        )
    try:
        content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} ({key}) is not JSON: {error}") from None
    return content


class Pretrained(ABC):
    """A mixin for modules of any family that are built with pretrained weights.

    Attributes:
        name_or_path: name on the Hugging Face hub, or folder.
        source: `name_or_path` while the weights are unchanged; None once they have changed.
        base_names: names of the parameters with pretrained weights.
    """

    name_or_path: str
    source: str | None
    base_names: list[str]

    @abstractmethod
    def export(self, folder: Path) -> str:
        """Write the present weights and their other files to a folder that can be used as `name_or_path`.

        Returns:
            Name of the class that reads the folder.

        Raises:
            ValueError: the weights cannot be written.
        """
