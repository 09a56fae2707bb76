"""Weights and inputs of the golden numbers, which are given by a formula instead of being stored.

Any folder of the same form can be used in place of `tests/golden`: set the environment variable GOLDEN_DIR.
"""

import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

GOLDEN_DIR = Path(os.environ.get("GOLDEN_DIR", Path(__file__).parent / "golden"))


def read_json(name: str) -> dict:
    """Return a JSON file of the golden folder."""
    return json.loads((GOLDEN_DIR / name).read_text())


def read_arrays(name: str) -> dict[str, NDArray]:
    """Return the arrays of an .npz file of the golden folder."""
    with np.load(GOLDEN_DIR / name, allow_pickle=False) as arrays:
        return dict(arrays)


SALT = read_json("formula.json")["salt"]


def normal(name: str, shape: Sequence[int]) -> torch.Tensor:
    """Return the standard normal float32 numbers that belong to a name."""
    generator = np.random.Generator(np.random.PCG64(zlib.crc32((SALT + name).encode())))
    return torch.from_numpy(generator.standard_normal(tuple(shape)).astype(np.float32))


def weight(name: str, shape: Sequence[int]) -> torch.Tensor:
    """Return the weight of an official state dict key."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(tuple(shape), dtype=torch.int64)
    numbers = normal(name, shape)
    if name.endswith("running_mean"):
        return numbers * 0.02
    if name.endswith("running_var"):
        return 1 + 0.1 * numbers.abs()
    if name.endswith("balance"):
        return numbers
    if name.endswith(("class_embedding", "split_embedding", "temporal_cls_token", "embed_tokens.weight")):
        return numbers * 0.5
    if len(shape) == 1 and name.endswith(".weight"):
        return 1 + 0.02 * numbers
    if name.startswith("model.layers."):
        return numbers * 0.1
    if name.startswith("lm_head."):
        return numbers * 0.05
    return numbers * 0.02


def weights(group: str, prefix: str = "") -> dict[str, torch.Tensor]:
    """Return the weights of a group of `keys.json`, after comparing them with the numbers recorded there.

    Args:
        group: name in `keys.json`.
        prefix: put in front of every key, in the result and for the formula.
    """
    result = {}
    for key, expected in read_json("keys.json")[group].items():
        tensor = weight(prefix + key, expected["shape"])
        np.testing.assert_allclose(tensor.flatten()[:3].numpy(), expected["first3"], rtol=1e-6)
        np.testing.assert_allclose(tensor.double().sum().item(), expected["sum"], rtol=1e-6, atol=1e-6)
        result[prefix + key] = tensor
    return result
