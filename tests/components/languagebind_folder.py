"""A folder like that of LanguageBind's release, with small random weights."""

import json

import torch
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModel

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 8,
    "patch_size": 2,
}
HEADS, FRAMES = 4, 8


def languagebind_weights():
    """Random weights under the names of the release: CLIP's, and attention over time in every layer."""
    generator = torch.Generator().manual_seed(1)
    vision = CLIPVisionModel(CLIPVisionConfig(**SIZES)).state_dict()
    weights = {f"vision_model.{key}": tensor.shape for key, tensor in vision.items()}
    for layer in range(SIZES["num_hidden_layers"]):
        prefix = f"vision_model.encoder.layers.{layer}.temporal_"
        weights[f"{prefix}embedding"] = (1, FRAMES, 32)
        for name, shape in {"weight": (32, 32), "bias": (32,)}.items():
            weights[f"{prefix}layer_norm1.{name}"] = (32,)
            for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
                weights[f"{prefix}attn.{projection}.{name}"] = shape
    random = {key: torch.randn(shape, generator=generator) * 0.2 for key, shape in weights.items()}
    rest = {"vision_model.embeddings.position_ids": torch.arange(17)[None], "logit_scale": torch.tensor(2.6)}
    rest |= {"text_model.final_layer_norm.weight": torch.ones(8), "visual_projection.weight": torch.ones(8, 32)}
    return random | rest


def save_languagebind(folder, weights, **changes):
    vision = SIZES | {"hidden_act": "gelu", "add_time_attn": True, "num_frames": FRAMES} | changes
    config = {"model_type": "LanguageBindVideo", "architectures": ["CLIPModel"], "vision_config": vision}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(weights, folder / "model.safetensors")
    return folder
