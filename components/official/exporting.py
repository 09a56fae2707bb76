"""A model folder of ours in the official format: what was imported bit by bit as it was, or a model of our own."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from components.official.folder import FolderError, new_folder, read_config, read_tensors, read_weights, write_model
from components.official.importing import ALIASES
from components.official.names import to_official

# What the official configuration says beside that of its Llama (official: videopanda/config/config.json), set to
# answer: to train on, the official code wants `requires_video_distill`, for which it loads the teacher.
_OF_THE_WHOLE = {
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
    """Whether a model folder holds what an official checkpoint has and our model has not."""
    return (source / "official").is_dir()


def export_official(source: Path, out: Path) -> int:
    """Write the official checkpoint `out` for the model folder `source`, and return the number of its tensors.

    A folder that was imported goes back as it came. Of another one, which must hold the full model, all that our model
    has is written, under both names: not the teacher, nor the block that the official code never calls.

    Raises:
        FolderError: `source` is no model folder, or is damaged, or its language model is no Llama, or `out` is not
            empty.
        ValueError: a part that the official model does not have, or a tensor that it must have is missing.
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
    return llama | _OF_THE_WHOLE | {"video_hidden_size": width, "mm_hidden_size": width}


def _long_name(key: str) -> str:
    part = "" if key.startswith(("video_projector.", "video_tower_compressor.")) else "video_tower."
    return f"model.{part}{key}"
