"""The state of the random numbers that a training draws from, such as those of dropout: on the host and on its device.

Data have generators of their own. All processes begin with one seed, and go on with the state of the first of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Return the state as it is, ready for a checkpoint."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Go on with a state: with nothing of an empty one, and not with a device's that is of another kind of device.

    Raises:
        ValueError: it is none of this version of PyTorch.
    """
    try:
        if "cpu" in state:
            torch.set_rng_state(state["cpu"])
        if device.type == "cuda" and "cuda" in state:
            torch.cuda.set_rng_state(state["cuda"], device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"ckpt_path: its random_state cannot be used: {' '.join(str(error).split())}") from error
