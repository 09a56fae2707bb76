"""A folder in the layout of an EVE checkpoint, with small random weights."""

import json

import torch
from safetensors.torch import save_file

from components.language_models.tiny_causal_lm import build_tiny_tokenizer
from tests.components.tiny_networks import tiny_network

VISION = {
    "model.vision_tower.patch_embedding.weight": (8, 3, 14, 14),
    "model.vision_tower.class_embedding": (8,),
    "model.vision_tower.local_attention.q.1.weight": (8, 8),
    "model.mm_projector.0.weight": (32, 8),
    "model.vision_clip.backbone.vision_model.post_layernorm.bias": (4,),
    "model.vision_tower_compressor.input_layer.weight": (4, 32),
    "model.layers.0.self_attn.rotary_emb.inv_freq": (8,),
}


def save_eve(folder, pickled=True, more=(), **config):
    """A folder in the layout of EVE: two weight files with all parts in them, and a config.json of its own family."""
    network = tiny_network("llama", max_length=2048)
    tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    tensors |= {name: torch.ones(shape) for name, shape in VISION.items()} | {name: torch.ones(1) for name in more}
    stem, suffix = ("pytorch_model", "bin") if pickled else ("model", "safetensors")
    folder.mkdir(parents=True)
    places = {}
    for part in range(2):
        chosen = {name: tensors[name] for name in list(tensors)[part::2]}
        places |= dict.fromkeys(chosen, f"{stem}-{part + 1:05}-of-00002.{suffix}")
        (torch.save if pickled else save_file)(chosen, folder / f"{stem}-{part + 1:05}-of-00002.{suffix}")
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))
    whole = network.config.to_dict() | {"model_type": "eve", "architectures": ["EVELlamaForCausalLM"]}
    whole |= {"mm_projector_type": "mlp2x_gelu", "mm_hidden_size": 8} | config
    (folder / "config.json").write_text(json.dumps(whole))
    build_tiny_tokenizer().save_pretrained(folder)
    return str(folder)
