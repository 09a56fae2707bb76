"""Weights and inputs of the baselines' golden numbers, which are given by a formula instead of being stored.

Any folder of the same form can be used in place of `tests/golden_baselines`: set `GOLDEN_BASELINES_DIR`.
"""

import json
import os
import zlib
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(os.environ.get("GOLDEN_BASELINES_DIR", Path(__file__).parent / "golden_baselines"))
FORMULA = json.loads((FOLDER / "formula.json").read_text())
FACTS = json.loads((FOLDER / "facts.json").read_text())
KEYS = json.loads((FOLDER / "keys.json").read_text())
LARGE = ("class_embedding", "split_embedding", "position_embedding.weight", "temporal_embedding", "embed_tokens.weight")
LARGE += ("cls_token", "pos_embed")


def arrays(name):
    """Return the arrays of a file, as tensors."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as stored:
        return {key: torch.from_numpy(stored[key]) for key in stored.files}


def normal(name, shape):
    """Return the standard normal numbers that belong to a name."""
    generator = np.random.Generator(np.random.PCG64(zlib.crc32((FORMULA["salt"] + name).encode())))
    return torch.from_numpy(generator.standard_normal(tuple(shape)).astype(np.float32))


def weights(group):
    """Return the weights of a group by their official keys, after comparing them with what is recorded of them."""
    result = {}
    for key, facts in KEYS[group].items():
        shape = facts["shape"]
        numbers = normal(f"{group}/{key}", shape)
        if key.endswith(LARGE):
            tensor = numbers * 0.5
        elif len(shape) == 1:
            tensor = 1 + np.float32(0.1) * numbers if key.endswith((".weight", ".gamma")) else numbers * 0.1
        else:
            tensor = numbers * np.float32(float(np.prod(shape[1:])) ** -0.5)
        np.testing.assert_allclose(tensor.flatten()[:3].numpy(), facts["first3"], rtol=1e-5)
        np.testing.assert_allclose(tensor.double().sum().item(), facts["sum"], rtol=1e-5, atol=1e-5)
        result[key] = tensor
    return result
