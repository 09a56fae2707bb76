"""Folders like that of the released checkpoint, with the weights of the golden formula."""

import json
import shutil

import torch
from safetensors.torch import save_file

from components.official.importing import ALIASES
from tests.components.official_model import SIZES
from tests.golden_formula import GOLDEN_DIR, read_json, weight, weights

CONFIG = {
    "architectures": ["VideoPandaLlamaForCausalLM"],
    "model_type": "videopanda",
    "hidden_size": SIZES["hidden"],
    "intermediate_size": SIZES["inter"],
    "num_hidden_layers": SIZES["layers"],
    "num_attention_heads": SIZES["heads"],
    "num_key_value_heads": SIZES["heads"],
    "vocab_size": SIZES["vocab"],
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 4096,
    "video_hidden_size": 1024,
    "mm_projector_type": "mlp2x_gelu",
}


def official_tensors():
    """Every tensor of the tiny official model, second names and unused ones too."""
    canonical = weights("full_model_canonical")
    tensors = {}
    for key, shape in read_json("keys.json")["full_model_state_dict"].items():
        first = key
        for second, name in ALIASES.items():
            first = first.replace(second, name)
        tensors[key] = canonical[first].clone() if first in canonical else weight(first, shape)
    return tensors


def save_official(folder, tensors, parts=2, pickled=True, config=CONFIG):
    """Write the folder; the weights in so many files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    shutil.copytree(GOLDEN_DIR / "tokenizer", folder, dirs_exist_ok=True)
    stem, suffix = ("pytorch_model", "bin") if pickled else ("model", "safetensors")
    names = list(tensors)
    files = {}
    for part in range(parts):
        name = f"{stem}-{part + 1:05}-of-{parts:05}.{suffix}" if parts > 1 else f"{stem}.{suffix}"
        chosen = {key: tensors[key] for key in names[part::parts]}
        torch.save(chosen, folder / name) if pickled else save_file(chosen, folder / name)
        files |= dict.fromkeys(chosen, name)
    if parts > 1:
        index = {"metadata": {}, "weight_map": files}
        (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))
    return folder
