"""Loading official weights: every key accounted for, every parameter filled, nothing by halves."""

import pytest
import torch
from torch import nn

from components.encoders import STAB
from components.official import load_official, our_names, to_official, to_ours
from components.projectors import MLPProjector
from components.stab import FrameOnly, NoVideoAggregator

OFFICIAL_SHAPES = {
    "class_embedding": (16,),
    "split_embedding": (16,),
    "temporal_cls_token": (1, 1, 16),
    "balance": (16,),
    "patch_embedding.weight": (16, 3, 2, 2),
    "lmhra1.pos_embed.0.weight": (16,),
    "lmhra1.pos_embed.0.bias": (16,),
    "lmhra1.pos_embed.0.running_mean": (16,),
    "lmhra1.pos_embed.0.running_var": (16,),
    "lmhra1.pos_embed.0.num_batches_tracked": (),
    "lmhra1.pos_embed.1.weight": (10, 16, 1, 1, 1),
    "lmhra1.pos_embed.1.bias": (10,),
    "lmhra1.pos_embed.2.weight": (10, 1, 3, 1, 1),
    "lmhra1.pos_embed.2.bias": (10,),
    "lmhra1.pos_embed.3.weight": (16, 10, 1, 1, 1),
    "lmhra1.pos_embed.3.bias": (16,),
    "lmhra2.pos_embed.3.bias": (16,),
    "dpe.weight": (16, 1, 3, 3, 3),
    "dpe.bias": (16,),
    "dec.attn.in_proj_weight": (48, 16),
    "dec.attn.in_proj_bias": (48,),
    "dec.attn.out_proj.weight": (16, 16),
    "dec.attn.out_proj.bias": (16,),
    **{f"dec.ln_{i}.{name}": (16,) for i in (1, 2, 3) for name in ("weight", "bias")},
    "dec.mlp.c_fc.weight": (64, 16),
    "dec.mlp.c_fc.bias": (64,),
    "dec.mlp.c_proj.weight": (16, 64),
    "dec.mlp.c_proj.bias": (16,),
    "proj.0.weight": (16,),
    "proj.0.bias": (16,),
    "proj.2.weight": (16, 16),
    "proj.2.bias": (16,),
    **{
        f"{part}.{name}": shape
        for part in ("local_attention", "global_attention")
        for name, shape in {
            "q.0.weight": (16,),
            "q.0.bias": (16,),
            "q.1.weight": (16, 16),
            "kv.0.weight": (16,),
            "kv.0.bias": (16,),
            "kv.1.weight": (32, 16),
            "proj.weight": (16, 16),
            "proj.bias": (16,),
        }.items()
    },
    "video_projector.0.weight": (20, 16),
    "video_projector.0.bias": (20,),
    "video_projector.2.weight": (20, 20),
    "video_projector.2.bias": (20,),
}


def official_model(**slots):
    weights = {key: torch.rand(shape) for key, shape in OFFICIAL_SHAPES.items()}
    return STAB(width=16, patch_size=2, **slots), MLPProjector(16, 20), weights


def test_official_weights_fill_every_parameter():
    encoder, projector, weights = official_model()
    report = load_official(encoder, projector, weights)
    assert set(report.unused) == {"lmhra2.pos_embed.3.bias", "lmhra1.pos_embed.0.num_batches_tracked"}
    assert set(report.loaded) == set(weights) - set(report.unused)
    assert torch.equal(encoder.video_aggregator.attention.query.weight, weights["dec.attn.in_proj_weight"][:16])
    assert torch.equal(encoder.video_aggregator.attention.key_value.weight, weights["dec.attn.in_proj_weight"][16:])
    assert torch.equal(encoder.frame_aggregator.class_embedding, weights["class_embedding"])
    ours = nn.ModuleDict({"encoder": encoder, "projector": projector})
    filled = [name for key in report.loaded for name in our_names(key)]
    assert sorted(filled) == sorted(name for name in ours.state_dict() if not name.endswith("num_batches_tracked"))


def test_weights_of_an_absent_part_are_reported():
    encoder, projector, weights = official_model(video_aggregator=NoVideoAggregator, fusion=FrameOnly)
    report = load_official(encoder, projector, weights)
    expected = {key for key in weights if key.startswith("dec.")} | {"temporal_cls_token", "balance"}
    assert set(report.absent) == expected


def test_official_weights_that_do_not_fit_are_refused_as_a_whole():
    encoder, projector, weights = official_model()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    del weights["dpe.bias"]
    weights["surprise"] = torch.zeros(1)
    weights["proj.2.weight"] = torch.zeros(8, 16)
    with pytest.raises(ValueError, match=r"unknown key surprise") as raised:
        load_official(encoder, projector, weights)
    assert "no key for encoder.local_encoding.position_encoding.bias" in str(raised.value)
    assert "proj.2.weight has shape [8, 16], ours [[16, 16]]" in str(raised.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())


def test_there_and_back_is_the_same_to_the_bit():
    stab, projector = STAB(width=16, patch_size=2), MLPProjector(16, 20)
    shapes = nn.ModuleDict({"encoder": stab, "projector": projector}).state_dict()
    official = {key: torch.randn(shape).bfloat16() for key, shape in OFFICIAL_SHAPES.items() if shape}
    ours, report = to_ours(official, {name: tensor.shape for name, tensor in shapes.items()})
    back = to_official(ours)
    assert back.keys() == set(report.loaded)
    for key, tensor in back.items():
        assert tensor.dtype == torch.bfloat16
        assert torch.equal(tensor, official[key]), key
        assert tensor.shape == official[key].shape, key


def test_parts_that_the_official_model_lacks_cannot_go_back():
    with pytest.raises(ValueError, match=r"no such parts: encoder.fusion.gate"):
        to_official({"encoder.fusion.gate": torch.zeros(1)})
