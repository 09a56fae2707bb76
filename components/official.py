"""The released checkpoint's names for STAB, the projector and the distillation head, and ours.

Only names differ: our parameters hold the official weights in the official layout, except that trailing sizes of 1x1
kernels are dropped and the packed query/key/value projection of GSTRA is cut in two. No official key is ignored without
being reported.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Official prefix -> ours. Two names mean that the official tensor is cut along its first axis.
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
# A second LSTE block that the official code builds, saves and never calls, and the teacher, stored a second time.
_NEVER_USED = ("lmhra2.", "video_tower_compressor.teacher_layer.")


@dataclass(frozen=True)
class LoadReport:
    """What became of the official keys.

    Attributes:
        loaded: keys whose tensors are now ours.
        unused: keys that the official code stores without using them (the second LSTE block, `lmhra2.*`), the copy of
            the teacher, which is loaded from its own weights, and counters of batch normalisation that no computation
            reads.
        absent: keys of parts that this encoder, projector or distillation does not have, as in an ablation.
    """

    loaded: tuple[str, ...]
    unused: tuple[str, ...]
    absent: tuple[str, ...]


def our_names(official_key: str) -> tuple[str, ...]:
    """Return our names for the tensor of an official key, none if unknown.

    They begin with `encoder.`, `projector.` or `distillation.`.
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
    """Copy official weights into an encoder, a projector and, to go on training, the head of a distillation.

    Args:
        encoder: a `STAB`.
        projector: an `MLPProjector` for the released weights.
        state_dict: keys as in the official `VideoTokenizer`; those of the projector begin with `video_projector.`,
            those of the distillation head with `video_tower_compressor.`.
        distillation: a `CosineDistillation`; without it, keys of the head are `absent`.

    Raises:
        ValueError: unknown keys, parameters of ours that no key fills, or other shapes; all of them are listed, and
            nothing is copied.
    """
    modules = nn.ModuleDict({"encoder": encoder, "projector": projector})
    if distillation is not None:
        modules["distillation"] = distillation
    ours = {name: tensor for name, tensor in modules.state_dict().items() if not name.endswith("num_batches_tracked")}
    copies: list[tuple[Tensor, Tensor]] = []
    loaded, unused, absent, problems = [], [], [], []
    missing = set(ours)
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
            missing -= set(names)
            loaded.append(key)
            if _same_layout(tensor, targets):
                pieces = tensor.reshape(-1, *targets[0].shape[1:]).split([len(target) for target in targets])
                copies += zip(targets, pieces, strict=True)
            else:
                problems.append(f"{key} has shape {list(tensor.shape)}, ours {[list(t.shape) for t in targets]}")
    problems += [f"no key for {name}" for name in sorted(missing)]
    if all(any(key.startswith(_HEAD_LAYERS) for key in keys) for keys in (loaded, absent)):
        problems.append(
            "the distillation head reads fewer hidden states, so its layers are others than the official ones"
        )
    if problems:
        raise ValueError("official weights do not fit this model: " + "; ".join(problems))
    with torch.no_grad():
        for target, piece in copies:
            target.copy_(piece)
    return LoadReport(tuple(loaded), tuple(unused), tuple(absent))


def _same_layout(official: Tensor, targets: list[Tensor]) -> bool:
    """Whether the shapes agree once sizes of 1 are dropped, or the official kernel is flattened (patch embedding)."""
    ours = [sum(len(target) for target in targets), *targets[0].shape[1:]]
    squeezed = [size for size in official.shape if size != 1]
    return squeezed == [size for size in ours if size != 1] or list(official.flatten(1).shape) == ours
