"""Greedy generation, token by token, in which the host hardly ever waits for the device.

Transformers' `generate` asks after every token whether all answers have ended: the host waits until the device has
caught up, and starts the next pass only then.

Legend: B samples, L spliced length, C width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
import transformers
from jaxtyping import Float, Int64
from packaging.version import Version
from torch import Tensor, distributed
from torch.nn import functional
from transformers import PreTrainedConfig, PreTrainedModel, StaticCache
from transformers.cache_utils import StaticLayer

from components.splice import SplicePlan

CACHE_ARGUMENT = "cache" if Version("5.24") <= Version(transformers.__version__) else "past_key_values"  # of a network
# Tokens from one look at whether all answers have ended to the next: up to as many passes less one are for nothing, and
# each of these takes far longer than a look. Most answers are shorter: the first looks are after 1, 2 and 4 tokens.
LOOK_EVERY = 4


@torch.no_grad()
def greedy_ids(
    network: PreTrainedModel,
    embeddings: Float[Tensor, "batch length width"],
    plan: SplicePlan,
    max_new_tokens: int,
    end_id: int,
    together: bool = False,
) -> Iterator[Int64[Tensor, " batch"]]:
    """Yield the likeliest next token of all samples, and so on until all have ended, and up to three times more.

    Args:
        network: causal model of transformers, perhaps with an adapter.
        embeddings: spliced embeddings of `plan`, padded on the left.
        plan: mask and positions.
        max_new_tokens: number of tokens at most; one forward pass each.
        end_id: id that ends an answer, and fills what comes after it.
        together: whether all processes run as many forward passes as the one with the longest answer.
    """
    batch, length = plan.attention_mask.shape
    # Created for every batch, because every batch has another length.
    cache = AnswerCache(network.config, length + max_new_tokens, embeddings.device)
    mask = functional.pad(plan.attention_mask, (0, max_new_tokens), value=1)
    ended = torch.zeros(batch, dtype=torch.bool, device=embeddings.device)
    ids, positions, next_look = plan.input_ids[:, :0], plan.position_ids, 1
    for number in range(1, max_new_tokens + 1):
        # What a family wants beside ids, such as a mask of another shape.
        inputs = network.prepare_inputs_for_generation(  # type: ignore[operator]  # from a mixin, which is not declared
            ids,
            attention_mask=mask[:, : length + number - 1],
            position_ids=positions,
            inputs_embeds=embeddings,
            is_first_iteration=number == 1,
            use_cache=True,
            logits_to_keep=1,
            **{CACHE_ARGUMENT: cache},
        )
        likeliest = network(**inputs).logits[:, -1].argmax(-1).masked_fill(ended, end_id)
        yield likeliest
        ended = ended | (likeliest == end_id)
        if number == next_look:
            if _all_ended(ended, together):
                return
            next_look += min(number, LOOK_EVERY)
        ids, positions = likeliest[:, None], positions[:, -1:] + 1


def _all_ended(ended: Tensor, together: bool) -> bool:
    """Return whether all answers have ended, with `together` those of all processes; the host waits for the device."""
    everywhere = ended.all().long()
    if together:
        distributed.all_reduce(everywhere, distributed.ReduceOp.MIN)
    return bool(everywhere)


def up_to_the_last_end(ids: Iterable[Int64[Tensor, " batch"]], end_id: int) -> Int64[Tensor, "batch new"]:
    """Return the ids of all samples on the host, up to the end of the longest answer."""
    answers = torch.stack(list(ids), dim=1).cpu()
    ends = (answers == end_id).long()
    going_on = (ends.cumsum(1) - ends == 0).any(0)  # in some sample there was no end before
    return answers[:, : int(going_on.sum())]


class AnswerCache(StaticCache):
    """A cache with room for a batch and its longest answer from the start.

    A growing cache is copied for every token (benchmarks/generation_cache.py). Under autocast, keys and values have
    different dtypes, since rotation makes keys float32, but a preallocated cache has only one. They are stored in the
    dtype to which attention casts them anyway, so that results do not change.
    """

    def __init__(self, config: PreTrainedConfig, max_cache_len: int, device: torch.device) -> None:
        super().__init__(config, max_cache_len)
        for layer in self.layers:
            # Made on the host, it would be copied to the device when the layer is first used, and waited for.
            if isinstance(layer, StaticLayer):
                layer.cumulative_length = torch.zeros((), dtype=torch.int64, device=device)

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Add the keys and values of a layer, and return the whole cache of the layer, including unused room."""
        device = key_states.device.type
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            key_states, value_states = key_states.to(dtype), value_states.to(dtype)
        return super().update(key_states, value_states, layer_idx, *args, **kwargs)
