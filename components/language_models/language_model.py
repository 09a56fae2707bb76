"""The contract between a language model and everything around it.

A language model here is a causal network that takes embeddings instead of ids, together with the text rules
(tokenizer and prompt format) that it was or will be trained with: one is of no use without the other.

Legend: B samples, L spliced length, C width, V vocabulary, S columns that are scored.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
import transformers
from jaxtyping import Float, Int64
from packaging.version import Version
from torch import Tensor, nn
from torch.nn import functional
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel, StaticCache

from components.adapters import Adapter, NoAdapter
from components.language_models.text import ChatText
from components.splice import IGNORED_LABEL, PaddingSide, SplicePlan

_TRANSFORMERS = Version(transformers.__version__)
_CACHE_ARGUMENT = "cache" if Version("5.24") <= _TRANSFORMERS else "past_key_values"  # of `generate`; the old one warns


@dataclass
class LanguageModelOutput:
    """What one forward pass gives.

    Attributes:
        loss: cross-entropy in float32, mean over all labels of the batch.
        logits: at `plan.scored_columns` only.
        hidden_states: the ones that were asked for, in that order.
    """

    loss: Float[Tensor, ""]
    logits: Float[Tensor, "batch scored vocabulary"]
    hidden_states: tuple[Float[Tensor, "batch length width"], ...]


class LanguageModel(nn.Module, ABC):
    """A causal language model: the family `language_models`.

    Attributes:
        network: the network, a causal model of transformers; an adapter may change or wrap it.
        text: turns conversations into ids and back.
        adapter: what learns when the language model is trained.
        width: size C of an embedding.
        layers: number of layers.
        max_length: longest sequence, in tokens.
        gradient_checkpointing: whether training keeps only each layer's input, and computes the layer again.
        base_names: of its parameters without those of the adapter.
        left_aside: names of tensors that are stored with its weights and are none of them.
    """

    gradient_checkpointing: bool = False
    left_aside: tuple[str, ...] = ()

    def __init__(self, network: PreTrainedModel, text: ChatText, adapter: Callable[[], Adapter] = NoAdapter) -> None:
        super().__init__()
        self.text = text
        self.adapter = adapter()
        config = network.config.get_text_config()
        self.width: int = config.hidden_size
        self.layers: int = config.num_hidden_layers
        if not hasattr(config, "max_position_embeddings"):
            raise ValueError(
                f"{type(config).__name__} does not say how long a sequence may be: put max_position_embeddings, in "
                "tokens, into the language model's config.json"
            )
        self.max_length = longest_sequence(config)
        # A checkpoint may come with sampling settings, which greedy search would warn about at every call.
        network.generation_config = GenerationConfig(
            do_sample=False,
            use_cache=True,
            bos_token_id=text.tokenizer.bos_token_id,
            eos_token_id=text.end_id,
            pad_token_id=text.pad_id,
        )
        base = {id(parameter) for parameter in network.parameters()}
        self.network = self.adapter.attach(network)
        # A tensor that is shared, as embeddings often are, has several names in a checkpoint.
        named = self.named_parameters(remove_duplicate=False)
        self.base_names = [name for name, parameter in named if id(parameter) in base]

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Let the language model learn, or freeze it: of a model with an adapter, only the adapter ever learns.

        Raises:
            ValueError: its weights are quantised and there is no adapter.
        """
        self.adapter.set_requires_grad(self.network, requires_grad)
        return self

    def read_text(self) -> ChatText:
        """Return `text`, read from files if that of a model that was built for its sizes alone is a stand-in.

        Raises:
            ValueError: the files cannot be read.
        """
        return self.text

    def save_adapter(self, folder: str | Path) -> None:
        """Write the adapter alone, in the format of the PEFT library.

        Raises:
            ValueError: there is none.
        """
        self.adapter.save(self.network, folder)

    def merge_adapter(self) -> None:
        """Work the adapter into the weights: the same logits without its cost, and without an adapter to train."""
        self.network = self.adapter.merge(self.network)
        self.adapter = NoAdapter()

    def units(self) -> list[nn.Module]:
        """Return the layers, each of which runs once per forward pass: what a sharded model gathers one at a time."""
        layers = next(
            module
            for module in self.network.modules()
            if isinstance(module, nn.ModuleList) and len(module) == self.layers
        )
        return list(layers)

    def embed(self, ids: Int64[Tensor, "batch length"]) -> Float[Tensor, "batch length {self.width}"]:
        """Look up the embeddings of token ids."""
        embeddings: Tensor = self.network.get_input_embeddings()(ids)
        return embeddings

    def forward(
        self,
        embeddings: Float[Tensor, "batch length {self.width}"],
        plan: SplicePlan,
        hidden_layers: Sequence[int] = (),
    ) -> LanguageModelOutput:
        """Predict every label of `plan` from the embeddings before it.

        Logits are computed only where a label is predicted: answers are a few of some two thousand positions, and
        logits of a large vocabulary would be the largest tensor of the whole model.

        Args:
            embeddings: spliced embeddings of `plan`.
            plan: masks, positions and labels.
            hidden_layers: which hidden states to return, and to keep at all; 0 is the input, n the output of layer n,
                -1 the last one after the final norm.

        Raises:
            ValueError: the batch has no label, or there is no such layer.
        """
        if plan.scored_columns.numel() == 0:
            raise ValueError("no sample of the batch has an answer to learn from, so there is no loss")
        absent = [layer for layer in hidden_layers if not -self.layers - 1 <= layer <= self.layers]
        if absent:
            raise ValueError(f"there is no hidden state {absent[0]}: the language model has {self.layers} layers")
        output = self.network(
            inputs_embeds=embeddings,
            attention_mask=plan.attention_mask,
            position_ids=plan.position_ids,
            logits_to_keep=plan.scored_columns,
            output_hidden_states=_wanted_states(hidden_layers),
            use_cache=False,
        )
        next_labels = functional.pad(plan.labels[:, 1:], (0, 1), value=IGNORED_LABEL)[:, plan.scored_columns]
        loss = functional.cross_entropy(
            output.logits.flatten(0, 1).float(), next_labels.flatten(), ignore_index=IGNORED_LABEL
        )
        return LanguageModelOutput(loss, output.logits, tuple(output.hidden_states[layer] for layer in hidden_layers))

    @torch.no_grad()
    def generate(
        self,
        embeddings: Float[Tensor, "batch length {self.width}"],
        plan: SplicePlan,
        max_new_tokens: int,
        together: bool = False,
    ) -> Int64[Tensor, "batch new"]:
        """Continue each sample greedily until its end token.

        Args:
            embeddings: spliced embeddings of `plan`, padded on the left.
            plan: the mask.
            max_new_tokens: longest answer, in tokens.
            together: whether all processes run as many forward passes as the one with the longest answer, because each
                pass needs all of them: in a model that is sharded.

        Returns:
            New ids only, at most `max_new_tokens` of them; after the end token, padding.

        Raises:
            ValueError: text and answer could be longer than the model takes.
        """
        assert plan.padding_side is PaddingSide.LEFT, "new tokens must follow the text, not padding"
        length = embeddings.shape[1]
        if length + max_new_tokens > self.max_length:
            raise ValueError(
                f"{length} tokens and up to {max_new_tokens} new ones are more than the {self.max_length} that the "
                "language model takes: use fewer frames, shorter text, or fewer new tokens"
            )
        # Made anew, because transformers would keep the longest; nothing is compiled, because every batch has another
        # length.
        cache = AnswerCache(self.network.config, max_cache_len=length + max_new_tokens)
        new_ids: Tensor = self.network.generate(  # type: ignore[operator]  # from a mixin that the class does not declare
            inputs_embeds=embeddings,
            attention_mask=plan.attention_mask,
            max_new_tokens=max_new_tokens,
            **{_CACHE_ARGUMENT: cache},
            disable_compile=True,
            synced_gpus=together,
        )
        return new_ids


def _wanted_states(layers: Sequence[int]) -> list[int] | bool:
    """Return what to ask of transformers: numbers, where it keeps no other states then (from 5.23), or all of them."""
    by_number = Version("5.23") <= _TRANSFORMERS
    return list(layers) if layers and by_number else len(layers) > 0


def longest_sequence(config: PreTrainedConfig) -> int:
    """Return how many tokens a network takes; where its positions are scaled, `config` has the number from before."""
    longest: int = config.max_position_embeddings
    positions = getattr(config, "rope_parameters", None) or {}
    scaled = positions.get("rope_type") in ("linear", "dynamic")
    return int(longest * positions["factor"]) if scaled else longest


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
