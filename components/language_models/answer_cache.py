"""Keys and values of a batch while it is answered."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import StaticCache


class AnswerCache(StaticCache):
    """Has room for a batch and its longest answer from the beginning.

    A cache that grows is copied for every token (benchmarks/generation_cache.py). Under autocast keys and values come
    in dtypes of their own, which a cache with room cannot have: rotation makes keys float32. They are kept in the one
    that attention casts them to anyway, so that nothing changes but the memory that they take.
    """

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Add keys and values of a layer, and return all of it, room that is not used yet included."""
        device = key_states.device.type
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            key_states, value_states = key_states.to(dtype), value_states.to(dtype)
        return super().update(key_states, value_states, layer_idx, *args, **kwargs)
