"""A model folder of ours in the official format again, bit by bit."""

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from components.official.folder import FolderError, read_config, read_tensors, write_model
from components.official.importing import ALIASES
from components.official.names import to_official


def export_official(source: Path, out: Path) -> int:
    """Write the official checkpoint `out` for the model folder `source`, and return the number of its tensors.

    Raises:
        FolderError: `source` is no model folder that was imported, or is damaged, or `out` is not empty.
        ValueError: a part that the official model does not have, or a tensor that it must have is missing.
    """
    if out.exists() and any(out.iterdir()):
        raise FolderError(f"{out} is not empty; name a new folder with --out")
    official = source / "official"
    if not official.is_dir():
        raise FolderError(f"{source} has no folder `official`; only what `import-official` wrote can go back")
    config = read_config(official)
    try:
        weights = load_file(source / "weights.safetensors")
        tensors = load_file(official / "unused.safetensors")
        keys: list[str] = json.loads((official / "keys.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, SafetensorError) as error:
        raise FolderError(f"{source} is damaged: {error}") from error
    tensors |= read_tensors(source / "language_model")
    tensors |= {_long_name(key): tensor for key, tensor in to_official(weights).items()}
    for second, first in ALIASES.items():
        tensors |= {second + key.removeprefix(first): tensors[key] for key in list(tensors) if key.startswith(first)}
    absent = [key for key in keys if key not in tensors]
    if absent:
        raise ValueError(f"{source} lacks {len(absent)} tensors of the official format: {', '.join(absent[:5])}")
    chosen: dict[str, Tensor] = {key: tensors[key] for key in keys}
    write_model(out, config, chosen, source / "language_model")
    return len(chosen)


def _long_name(key: str) -> str:
    part = "" if key.startswith(("video_projector.", "video_tower_compressor.")) else "video_tower."
    return f"model.{part}{key}"
