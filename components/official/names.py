"""Translates the names of the released checkpoint for STAB, the projector and the distillation head to ours and back.

Our parameters have the official layout, except that the trailing sizes of 1x1 kernels are dropped and the packed
query/key/value projection of GSTRA is cut in two. Every official key that is not used is reported.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Our prefixes by the official ones. Two names mean that the official tensor is cut along its first axis.
_NAMES: dict[str, tuple[str, ...]] = {
    "class_embedding": ("encoder.frame_aggregator.class_embedding",),
    "split_embedding": ("encoder.row_tokens.token",),
    "temporal_cls_token": ("encoder.video_aggregator.query",),
    "balance": ("encoder.fusion.balance",),
    "patch_embedding.": ("encoder.patch_embedding.projection.",),
    "lmhra1.pos_embed.0.": ("encoder.local_encoding.norm.",),
    "lmhra1.pos_embed.1.": ("encoder.local_encoding.reduce.",),
    "lmhra1.pos_embed.2.": ("encoder.local_encoding.temporal.",),
    "lmhra1.pos_embed.3.": ("encoder.local_encoding.expand.",),
    "dpe.": ("encoder.local_encoding.position_encoding.",),
    "dec.attn.in_proj_": ("encoder.video_aggregator.attention.query.", "encoder.video_aggregator.attention.key_value."),
    "dec.attn.out_proj.": ("encoder.video_aggregator.attention.output.",),
    "dec.ln_1.": ("encoder.video_aggregator.attention.query_norm.",),
    "dec.ln_2.": ("encoder.video_aggregator.feed_forward_norm.",),
    "dec.ln_3.": ("encoder.video_aggregator.attention.token_norm.",),
    "dec.mlp.c_fc.": ("encoder.video_aggregator.feed_forward.0.",),
    "dec.mlp.c_proj.": ("encoder.video_aggregator.feed_forward.3.",),
    "proj.0.": ("encoder.fusion.projection.norm.",),
    "proj.2.": ("encoder.fusion.projection.linear.",),
    "local_attention.q.0.": ("encoder.downsampling.attention.query_norm.",),
    "local_attention.q.1.": ("encoder.downsampling.attention.query.",),
    "local_attention.kv.0.": ("encoder.downsampling.attention.token_norm.",),
    "local_attention.kv.1.": ("encoder.downsampling.attention.key_value.",),
    "local_attention.proj.": ("encoder.downsampling.attention.output.",),
    "global_attention.q.0.": ("encoder.frame_aggregator.attention.query_norm.",),
    "global_attention.q.1.": ("encoder.frame_aggregator.attention.query.",),
    "global_attention.kv.0.": ("encoder.frame_aggregator.attention.token_norm.",),
    "global_attention.kv.1.": ("encoder.frame_aggregator.attention.key_value.",),
    "global_attention.proj.": ("encoder.frame_aggregator.attention.output.",),
    "video_projector.0.": ("projector.layers.0.",),
    "video_projector.2.": ("projector.layers.2.",),
    "video_tower_compressor.norm_layer.": ("distillation.head.projections.",),
    "video_tower_compressor.input_layer.": ("distillation.head.shortcut.",),
    "video_tower_compressor.output_layer.": ("distillation.head.output.",),
}
_HEAD_LAYERS = "video_tower_compressor.norm_layer."
# A second LSTE block, which the official code builds and saves but never calls, and a second copy of the teacher.
_NEVER_USED = ("lmhra2.", "video_tower_compressor.teacher_layer.")


@dataclass(frozen=True)
class LoadReport:
    """The use of the official keys.

    Attributes:
        loaded: keys whose tensors were loaded.
        unused: keys that the official code stores but does not use (the second LSTE block, `lmhra2.*`), the copy of the
            teacher, which is loaded from its own weights, and counters of batch normalisation that no computation uses.
        absent: keys of parts that this encoder, projector or distillation does not have, as in an ablation.
    """

    loaded: tuple[str, ...]
    unused: tuple[str, ...]
    absent: tuple[str, ...]


def our_names(official_key: str) -> tuple[str, ...]:
    """Return our names for the tensor of an official key, none if the key is unknown.

    Our names begin with `encoder.`, `projector.` or `distillation.`.
    """
    for prefix, ours in _NAMES.items():
        if official_key == prefix or (prefix[-1] in "._" and official_key.startswith(prefix)):
            return tuple(name + official_key.removeprefix(prefix) for name in ours)
    return ()


def load_official(
    encoder: nn.Module,
    projector: nn.Module,
    state_dict: Mapping[str, Tensor],
    distillation: nn.Module | None = None,
) -> LoadReport:
    """Copy official weights into an encoder, a projector and, to continue training, the head of a distillation.

    Args:
        encoder: a `STAB`.
        projector: projector, an `MLPProjector` for the released weights.
        state_dict: official tensors by key, see `to_ours`.
        distillation: a `CosineDistillation`; without it, keys of the head are `absent`.

    Raises:
        ValueError: see `to_ours`; nothing is copied then.
    """
    modules = nn.ModuleDict({"encoder": encoder, "projector": projector})
    if distillation is not None:
        modules["distillation"] = distillation
    ours = modules.state_dict()
    tensors, report = to_ours(state_dict, {name: tensor.shape for name, tensor in ours.items()})
    with torch.no_grad():
        for name, tensor in tensors.items():
            ours[name].copy_(tensor)
    return report


def to_ours(state_dict: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> tuple[dict[str, Tensor], LoadReport]:
    """Return official tensors under our names and in our layout, with unchanged values and dtypes.

    Args:
        state_dict: tensors by key as in the official `VideoTokenizer`; keys of the projector begin with
            `video_projector.`, those of the distillation head with `video_tower_compressor.`.
        shapes: shapes of all tensors of our model, by our names.

    Raises:
        ValueError: keys are unknown, parameters of ours have no key, or shapes differ; all problems are listed.
    """
    ours = {name: shape for name, shape in shapes.items() if not name.endswith("num_batches_tracked")}
    tensors: dict[str, Tensor] = {}
    loaded, unused, absent, problems = [], [], [], []
    for key, tensor in state_dict.items():
        names = our_names(key)
        if key.startswith(_NEVER_USED) or key.endswith("num_batches_tracked"):
            unused.append(key)
        elif not names:
            problems.append(f"unknown key {key}")
        elif not all(name in ours for name in names):
            absent.append(key)
        else:
            targets = [ours[name] for name in names]
            loaded.append(key)
            if _same_layout(tensor, targets):
                pieces = tensor.reshape(-1, *targets[0][1:]).split([target[0] for target in targets])
                tensors |= {name: piece.reshape(ours[name]) for name, piece in zip(names, pieces, strict=True)}
            else:
                tensors |= dict.fromkeys(names, tensor)
                problems.append(f"{key} has shape {list(tensor.shape)}, ours {[list(target) for target in targets]}")
    problems += [f"no key for {name}" for name in sorted(ours.keys() - tensors.keys())]
    if all(any(key.startswith(_HEAD_LAYERS) for key in keys) for keys in (loaded, absent)):
        problems.append(
            "the distillation head reads fewer hidden states, so its layers are others than the official ones"
        )
    if problems:
        raise ValueError("official weights do not fit this model: " + "; ".join(problems))
    return tensors, LoadReport(tuple(loaded), tuple(unused), tuple(absent))


def to_official(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our tensors under the official names and in the official layout: the inverse of `to_ours`.

    Raises:
        ValueError: the official model does not have some of the tensors.
    """
    official_tensors: dict[str, Tensor] = {}
    rest = set(tensors)
    for official, ours in _NAMES.items():
        for name in sorted(rest):
            if name == ours[0] or (ours[0].endswith(".") and name.startswith(ours[0])):
                key = official + name.removeprefix(ours[0])
                pieces = [tensors[our_name] for our_name in our_names(key)]
                rest -= set(our_names(key))
                official_tensors[key] = _official_layout(key, torch.cat(pieces) if len(pieces) > 1 else pieces[0])
    if rest:
        raise ValueError(f"the official model has no such parts: {', '.join(sorted(rest))}")
    return official_tensors


def _official_layout(key: str, tensor: Tensor) -> Tensor:
    """Return a tensor with the axes of size 1 that our kernels and our video query lack."""
    if key == "temporal_cls_token":
        return tensor[None, None]
    if key == "patch_embedding.weight":
        side = math.isqrt(tensor.shape[1] // 3)
        return tensor.reshape(len(tensor), 3, side, side)
    if key in ("lmhra1.pos_embed.1.weight", "lmhra1.pos_embed.3.weight"):
        return tensor[..., None, None, None]
    return tensor[:, None, :, None, None] if key == "lmhra1.pos_embed.2.weight" else tensor


def _same_layout(official: Tensor, targets: list[torch.Size]) -> bool:
    """Return whether shapes agree apart from axes of size 1, or with a flattened official kernel (patch embedding)."""
    ours = [sum(target[0] for target in targets), *targets[0][1:]]
    squeezed = [size for size in official.shape if size != 1]
    flattened = list(official.flatten(1).shape) if official.dim() > 1 else []
    return squeezed == [size for size in ours if size != 1] or flattened == ours
