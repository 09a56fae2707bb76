"""Writes a model folder in the official format: an imported model as it was, bit by bit, or a model of our own."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from components.official.folder import FolderError, new_folder, read_config, read_tensors, read_weights, write_model
from components.official.importing import ALIASES
from components.official.names import to_official

# The official configuration beside that of its Llama (official: videopanda/config/config.json), set for evaluation:
# training with the official code needs `requires_video_distill`, which makes it load the teacher.
_MODEL_CONFIG = {
    "architectures": ["VideoPandaLlamaForCausalLM"],
    "model_type": "videopanda",
    "image_aspect_ratio": "square",
    "mm_projector_type": "mlp2x_gelu",
    "mm_use_im_patch_token": False,
    "mm_use_im_start_end": False,
    "mm_vision_select_feature": "patch",
    "mm_vision_select_layer": -2,
    "mm_vision_tower": "videopanda/config/videopanda-vision-LB-patch14-anypixel-448",
    "mm_video_tower": "videopanda/config/videopanda-video-LB-patch14-anypixel-448",
    "mm_vision_tower_teacher": "LanguageBind/LanguageBind_Image",
    "video_tower_teacher": "LanguageBind/LanguageBind_Video_merge",
    "requires_image_distill": False,
    "requires_video_distill": False,
    "use_mm_proj": True,
}


def is_imported(source: Path) -> bool:
    """Return whether a model folder was imported, so that it has the parts of the official format that ours lacks."""
    return (source / "official").is_dir()


def export_official(source: Path, out: Path) -> int:
    """Write the official checkpoint `out` for the model folder `source`, and return the number of its tensors.

    An imported folder is restored as it was. Any other folder must have the full model; all its tensors are written
    under both official names, but not the teacher or the block that the official code never calls.

    Raises:
        FolderError: `source` is not a model folder, or is damaged, or its language model is not a Llama, or `out` is
            not empty.
        ValueError: the model has a part that the official one does not have, or lacks a tensor.
    """
    with new_folder(out) as folder:
        try:
            weights = read_weights(source / "weights.safetensors")
        except ValueError as error:
            raise FolderError(f"{source} is damaged: {error}") from error
        tensors = read_tensors(source / "language_model")
        tensors |= {_long_name(key): tensor for key, tensor in to_official(weights).items()}
        config, kept, keys = _imported(source) if is_imported(source) else (_own_config(source, tensors), {}, None)
        tensors |= kept
        for second, first in ALIASES.items():
            tensors |= {
                second + key.removeprefix(first): tensors[key] for key in list(tensors) if key.startswith(first)
            }
        keys = list(tensors) if keys is None else keys
        absent = [key for key in keys if key not in tensors]
        if absent:
            raise ValueError(f"{source} lacks {len(absent)} tensors of the official format: {', '.join(absent[:5])}")
        write_model(folder, config, {key: tensors[key] for key in keys}, source / "language_model")
    return len(keys)


def _imported(source: Path) -> tuple[dict[str, Any], dict[str, Tensor], list[str]]:
    official = source / "official"
    try:
        keys: list[str] = json.loads((official / "keys.json").read_text(encoding="utf-8"))
        return read_config(official), read_weights(official / "unused.safetensors"), keys
    except (OSError, ValueError) as error:
        raise FolderError(f"{source} is damaged: {error}") from error


def _own_config(source: Path, tensors: dict[str, Tensor]) -> dict[str, Any]:
    llama = read_config(source / "language_model")
    if llama.get("model_type") != "llama":
        raise FolderError(
            f"model.language_model in {source} is of the family {llama.get('model_type')!r}; the official model has a "
            "Llama"
        )
    width = len(tensors["model.video_tower.class_embedding"])
    return llama | _MODEL_CONFIG | {"video_hidden_size": width, "mm_hidden_size": width}


def _long_name(key: str) -> str:
    part = "" if key.startswith(("video_projector.", "video_tower_compressor.")) else "video_tower."
    return f"model.{part}{key}"
