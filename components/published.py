"""Sizes of released models without their weights: what costs are counted with.

Under `with torch.device("meta")` nothing can be loaded, and nothing need be: there, a pretrained model is built from
its config.json alone, or, where that is not on this machine, from the sizes that `published_configs.json` has of it.
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
    """Whether models are being built for their sizes, without memory for their weights."""
    return torch.get_default_device().type == "meta"


def sizes_of(name_or_path: str, key: str) -> dict[str, Any]:
    """Return what config.json says of a model; nothing is downloaded.

    Args:
        name_or_path: folder, or name on the Hugging Face hub.
        key: YAML key that names it, for the error.

    Raises:
        ValueError: neither a folder nor the local cache has its config.json, and its sizes are not known here; or the
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
    """A module that was built with the weights of `name_or_path`; mixed into a module of any family.

    Attributes:
        name_or_path: name on the Hugging Face hub, or folder.
        source: `name_or_path`, while the weights are still those from there; None once they are others.
        base_names: of the parameters whose weights came from there.
    """

    name_or_path: str
    source: str | None
    base_names: list[str]

    @abstractmethod
    def export(self, folder: Path) -> str:
        """Write the weights as they are now, and all that goes with them, as a folder that could be `name_or_path`.

        Returns:
            Name of the class that reads it.

        Raises:
            ValueError: they cannot be written.
        """
