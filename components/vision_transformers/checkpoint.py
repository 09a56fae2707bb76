"""Reads vision transformers in the format of CLIP and LanguageBind on the Hugging Face hub.

Both use the names of transformers' CLIP; LanguageBind adds attention over time to every layer (`temporal_embedding`,
`temporal_attn`, `temporal_layer_norm1`). Safetensors are preferred; other weight files are read as tensors only.
"""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPVisionConfig
from transformers.activations import ACT2FN
from transformers.utils.hub import cached_file

from components.model_files import read_weights, whereabouts, why
from components.published import only_sizes, sizes_of
from components.vision_transformers.clip_vit import CLIPViT

_WHERE = "init_args.name_or_path of the tower"
_FAMILIES = ("clip", "clip_vision_model", "LanguageBindVideo")
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
# The text half, and the projections into the space where CLIP compares both halves.
_OTHER_HALF = ("text_model.", "text_projection.", "visual_projection.", "logit_scale")
_WITHOUT_EFFECT = ("embeddings.position_ids", "post_layernorm.")  # a counter, and the norm after the last layer

# Our prefixes by theirs.
_NAMES = {
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding.": "patch_embedding.projection.",
    "embeddings.position_embedding.weight": "position_embedding",
    "pre_layrnorm.": "norm.",
}
# Our prefixes by theirs, inside layer {}.
_NAMES_IN_LAYER = {
    "layer_norm1.": "blocks.{}.attention_norm.",
    "self_attn.q_proj.": "blocks.{}.attention.query.",
    "self_attn.k_proj.": "blocks.{}.attention.key.",
    "self_attn.v_proj.": "blocks.{}.attention.value.",
    "self_attn.out_proj.": "blocks.{}.attention.output.",
    "layer_norm2.": "blocks.{}.feed_forward_norm.",
    "mlp.fc1.": "blocks.{}.feed_forward.0.",
    "mlp.fc2.": "blocks.{}.feed_forward.2.",
    "temporal_embedding": "temporal.{}.embedding",
    "temporal_layer_norm1.": "temporal.{}.norm.",
    "temporal_attn.q_proj.": "temporal.{}.attention.query.",
    "temporal_attn.k_proj.": "temporal.{}.attention.key.",
    "temporal_attn.v_proj.": "temporal.{}.attention.value.",
    "temporal_attn.out_proj.": "temporal.{}.attention.output.",
}
_LAYER = re.compile(r"encoder\.layers\.(\d+)\.(.+)")
_SIZES = ("hidden_size", "image_size", "patch_size", "num_hidden_layers", "num_attention_heads")
_SHOWN = 3  # number of problems of each kind that an error lists; weights of another family have hundreds


@dataclass(frozen=True)
class Architecture:
    """The sizes of a vision transformer, from its config.json.

    Attributes:
        width: size of a token.
        patch_size: side of a patch in pixels.
        image_size: side of a frame in pixels.
        layers: number of layers of the whole transformer.
        heads: number of attention heads.
        frames: number of time embeddings; 1 for CLIP.
        activation: function that builds the activation of the feed-forward layers.
    """

    width: int
    patch_size: int
    image_size: int
    layers: int
    heads: int
    frames: int
    activation: Callable[[], nn.Module]


def read_architecture(name_or_path: str) -> Architecture:
    """Read config.json.

    Raises:
        ValueError: the file cannot be read, is of another family of models, or has settings that our transformers do
            not support.
    """
    path = name_or_path if only_sizes() else _file(name_or_path, "config.json")
    try:
        raw: dict[str, Any] = (
            sizes_of(name_or_path, _WHERE) if only_sizes() else json.loads(Path(path).read_text(encoding="utf-8"))
        )
        family, vision = raw.get("model_type"), raw.get("vision_config", raw)
        if family not in _FAMILIES:
            raise ValueError(f"model_type is {family!r}, known are {', '.join(_FAMILIES)}")
        sizes = CLIPVisionConfig().to_dict() | vision  # a config.json may leave out CLIP's defaults
        for name in _SIZES:
            if not isinstance(sizes[name], int):
                raise ValueError(f"{name} is {sizes[name]!r}, not a whole number")
        supported = {"intermediate_size": 4 * sizes["hidden_size"], "layer_norm_eps": 1e-5, "num_channels": 3}
        for name, value in supported.items():
            if sizes[name] != value:
                raise ValueError(f"{name} is {sizes[name]}, only {value} is supported")
        if sizes["hidden_act"] not in ACT2FN:
            raise ValueError(f"hidden_act is {sizes['hidden_act']!r}, known are {', '.join(sorted(ACT2FN))}")
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} ({_WHERE}) does not describe a CLIP or LanguageBind transformer: {error}") from error
    return Architecture(
        width=sizes["hidden_size"],
        patch_size=sizes["patch_size"],
        image_size=sizes["image_size"],
        layers=sizes["num_hidden_layers"],
        heads=sizes["num_attention_heads"],
        frames=int(sizes.get("num_frames", 1)),
        activation=lambda: ACT2FN[sizes["hidden_act"]],
    )


def check_sizes(architecture: Architecture, name_or_path: str, width: int, patch_size: int) -> None:
    """Refuse weights of other sizes than those of the encoder.

    Raises:
        ValueError: the width or the patch size differs.
    """
    sizes = (("width", architecture.width, width), ("patch_size", architecture.patch_size, patch_size))
    for name, theirs, ours in sizes:
        if theirs != ours:
            raise ValueError(
                f"the weights of {name_or_path!r} ({_WHERE}) are for a {name} of {theirs}, not {ours} "
                f"(init_args.{name} of the encoder); a tower without pretrained weights takes any size"
            )


def load(tower: CLIPViT, name_or_path: str, layers: int) -> None:
    """Copy weights into a tower.

    Keys of the text half, of layers after the last one of the tower, and without effect on it are skipped. Every other
    key must belong to the tower, and every parameter of the tower must have a key. On the meta device nothing is
    copied.

    Args:
        tower: tower with the sizes of the checkpoint.
        name_or_path: name on the Hugging Face hub, or folder.
        layers: number of layers of the whole checkpoint.

    Raises:
        ValueError: no weights can be read, keys are unknown, or weights are missing or have other shapes. All problems
            are counted, the first of each kind are listed, and nothing is copied.
    """
    if only_sizes():
        return
    ours = tower.state_dict()
    copies: dict[str, Tensor] = {}
    unknown, misshapen = [], []
    missing = set(ours)
    for key, tensor in _weights(name_or_path).items():
        vision_key = key.removeprefix("vision_model.")
        if key.startswith(_OTHER_HALF) or vision_key.startswith(_WITHOUT_EFFECT):
            continue
        name, layer = our_name(vision_key)
        if name and len(tower.blocks) <= layer < layers:
            continue
        if name not in ours:
            unknown.append(key)
            continue
        missing.discard(name)
        copies[name] = our_layout(name, tensor)
        if copies[name].shape != ours[name].shape:
            misshapen.append(f"{key} of shape {list(tensor.shape)}, ours {list(ours[name].shape)}")
    problems = [
        f"{len(items)} {kind}: {', '.join(items[:_SHOWN])}{', ...' if len(items) > _SHOWN else ''}"
        for kind, items in (
            ("unknown keys", unknown),
            ("parameters without a key", sorted(missing)),
            ("of another shape", misshapen),
        )
        if items
    ]
    if problems:
        raise ValueError(
            f"the weights of {name_or_path!r} ({_WHERE}) do not fit a {type(tower).__name__}; " + "; ".join(problems)
        )
    tower.load_state_dict(copies)


def save(tower: CLIPViT, name_or_path: str, folder: Path) -> None:
    """Write a tower as a folder that `load` can read: its inverse, except for skipped keys.

    Args:
        tower: tower with the sizes of the checkpoint.
        name_or_path: checkpoint that it was loaded from, whose config.json is copied.
        folder: new folder.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in tower.state_dict().items():
        if name.startswith("patch_embedding."):
            tensor = tensor.unflatten(1, (3, tower.patch_size, tower.patch_size))
        elif name.startswith("temporal.") and name.endswith(".embedding"):
            tensor = tensor[None]
        tensors[f"vision_model.{_their_name(name)}"] = tensor.contiguous()
    folder.mkdir(parents=True)
    shutil.copyfile(_file(name_or_path, "config.json"), folder / "config.json")
    save_file(tensors, folder / "model.safetensors")


def _their_name(name: str) -> str:
    layer = re.match(r"(?:blocks|temporal)\.(\d+)\.", name)
    number, names = (layer[1], _NAMES_IN_LAYER) if layer else ("", _NAMES)
    place = f"encoder.layers.{number}." if layer else ""
    theirs, ours = next(
        (theirs, ours.format(number))
        for theirs, ours in names.items()
        if name == ours.format(number) or (theirs.endswith(".") and name.startswith(ours.format(number)))
    )
    return place + theirs + name.removeprefix(ours)


def our_name(key: str) -> tuple[str, int]:
    """Return our name for a key, empty if the key is unknown, and its layer, -1 outside of layers."""
    inside = _LAYER.fullmatch(key)
    layer, key, names = (int(inside[1]), inside[2], _NAMES_IN_LAYER) if inside else (-1, key, _NAMES)
    for prefix, ours in names.items():
        if key == prefix or (prefix.endswith(".") and key.startswith(prefix)):
            return ours.format(layer) + key.removeprefix(prefix), layer
    return "", layer


def our_layout(name: str, tensor: Tensor) -> Tensor:
    """Return a tensor in our layout: flattens the patch embedding and drops the leading axis of a time embedding."""
    if name.startswith("patch_embedding.") and tensor.dim() == 4:
        return tensor.flatten(1)
    return tensor.squeeze(0) if name.endswith(".embedding") else tensor


def _weights(name_or_path: str) -> dict[str, Tensor]:
    path = _file(name_or_path, *_WEIGHT_FILES)
    try:
        return read_weights(path)
    except ValueError as error:
        raise ValueError(f"{error} ({_WHERE})") from error


def _file(name_or_path: str, *names: str) -> Path:
    """Return the first of these files that exists, from the folder, the local cache or the hub."""
    reason = ""
    for name in names:
        try:
            path = cached_file(name_or_path, name)
            if path is not None:
                return Path(path)
        except OSError as error:
            reason = "" if Path(name_or_path).is_dir() else f" {why(error)}."
    raise ValueError(
        f"{name_or_path!r} has no {' or '.join(names)}; {_WHERE} must be a folder with config.json and weights in one "
        f"file ({' or '.join(_WEIGHT_FILES)}), or a name on the Hugging Face hub.{reason} {whereabouts(name_or_path)}"
    )
