"""The interface of a language model.

A language model here is a causal network that takes embeddings instead of ids, together with the tokenizer and prompt
format of its training, since one is useless without the other.

Legend: B samples, L spliced length, C width, V vocabulary, S scored columns.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
import transformers
from jaxtyping import Float, Int64
from packaging.version import Version
from torch import Tensor, nn
from torch.nn import functional
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel

from components.adapters import Adapter, NoAdapter
from components.language_models.greedy import greedy_ids, up_to_the_last_end
from components.language_models.text import ChatText
from components.splice import IGNORED_LABEL, PaddingSide, SplicePlan


@dataclass
class LanguageModelOutput:
    """The result of a forward pass.

    Attributes:
        loss: cross-entropy in float32, mean over all labels of the batch.
        logits: logits at `plan.scored_columns` only.
        hidden_states: requested hidden states, in the order of the request.
    """

    loss: Float[Tensor, ""]
    logits: Float[Tensor, "batch scored vocabulary"]
    hidden_states: tuple[Float[Tensor, "batch length width"], ...]


class LanguageModel(nn.Module, ABC):
    """A causal language model: the family `language_models`.

    Attributes:
        network: causal model of transformers; an adapter may change or wrap it.
        text: tokenizer and prompt format.
        adapter: adapter, which decides the parameters that are trained.
        width: size C of an embedding.
        layers: number of layers.
        max_length: longest sequence, in tokens.
        gradient_checkpointing: whether training keeps only the input of each layer and computes the layer again.
        base_names: names of the parameters without those of the adapter.
        left_aside: names of tensors in the weight files that do not belong to the language model.
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
        # A checkpoint may have settings of sampling; an exported folder says how answers are generated here.
        network.generation_config = GenerationConfig(
            do_sample=False,
            use_cache=True,
            bos_token_id=text.tokenizer.bos_token_id,
            eos_token_id=text.end_id,
            pad_token_id=text.pad_id,
        )
        base = {id(parameter) for parameter in network.parameters()}
        self.network = self.adapter.attach(network)
        # A shared tensor, as embeddings often are, has several names in a checkpoint.
        parameters = self.named_parameters(remove_duplicate=False)
        self.base_names = [name for name, parameter in parameters if id(parameter) in base]

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Make the language model trainable, or freeze it; with an adapter, only the adapter is ever trained.

        Raises:
            ValueError: the weights are quantised and there is no adapter.
        """
        self.adapter.set_requires_grad(self.network, requires_grad)
        return self

    def read_text(self) -> ChatText:
        """Return `text`; for a model on the meta device, whose `text` is a stand-in, that of its files.

        Raises:
            ValueError: the files cannot be read.
        """
        return self.text

    def save_adapter(self, folder: str | Path) -> None:
        """Write only the adapter, in the format of the PEFT library.

        Raises:
            ValueError: there is no adapter.
        """
        self.adapter.save(self.network, folder)

    def merge_adapter(self) -> None:
        """Merge the adapter into the weights, which gives the same logits without its cost."""
        self.network = self.adapter.merge(self.network)
        self.adapter = NoAdapter()

    def units(self) -> list[nn.Module]:
        """Return the layers, each of which runs once per forward pass; a sharded model gathers them one at a time."""
        layers = next(
            module
            for module in self.network.modules()
            if isinstance(module, nn.ModuleList) and len(module) == self.layers
        )
        return list(layers)

    def embed(self, ids: Int64[Tensor, "batch length"]) -> Float[Tensor, "batch length {self.width}"]:
        """Return the embeddings of token ids."""
        embeddings: Tensor = self.network.get_input_embeddings()(ids)
        return embeddings

    def forward(
        self,
        embeddings: Float[Tensor, "batch length {self.width}"],
        plan: SplicePlan,
        hidden_layers: Sequence[int] = (),
    ) -> LanguageModelOutput:
        """Predict every label of `plan` from the embeddings before it.

        Logits are computed only where a label is predicted: answers are few of about two thousand positions, and the
        logits of all would be the largest tensor of the whole model.

        Args:
            embeddings: spliced embeddings of `plan`.
            plan: masks, positions and labels.
            hidden_layers: hidden states to return; 0 is the input, n the output of layer n, and -1 the last one after
                the final norm.

        Raises:
            ValueError: the batch has no label, or a hidden state does not exist.
        """
        if plan.scored_columns.numel() == 0:
            raise ValueError("no sample of the batch has an answer to learn from, so there is no loss")
        absent = [layer for layer in hidden_layers if not -self.layers - 1 <= layer <= self.layers]
        if absent:
            raise ValueError(f"there is no hidden state {absent[0]}: the language model has {self.layers} layers")
        # No token sees padding on its right, so that attention without a mask is the same, and takes the fused kernel.
        masked = plan.padding_side is PaddingSide.LEFT
        output = self.network(
            inputs_embeds=embeddings,
            attention_mask=plan.attention_mask if masked else None,
            position_ids=plan.position_ids if masked else None,
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
            plan: mask and padding side.
            max_new_tokens: longest answer, in tokens.
            together: whether all processes run as many forward passes as the one with the longest answer, which a
                sharded model needs, since every pass involves all processes.

        Returns:
            Only the new ids, on the host, up to the end of the longest answer, with padding after each end token.

        Raises:
            ValueError: text and answer together could be longer than the model takes.
        """
        assert plan.padding_side is PaddingSide.LEFT, "new tokens must follow the text, not padding"
        length = embeddings.shape[1]
        if length + max_new_tokens > self.max_length:
            raise ValueError(
                f"{length} tokens and up to {max_new_tokens} new ones are more than the {self.max_length} that the "
                "language model takes: use fewer frames, shorter text, or fewer new tokens"
            )
        ids = greedy_ids(self.network, embeddings, plan, max_new_tokens, self.text.end_id, together)
        return up_to_the_last_end(ids, self.text.end_id)


def _wanted_states(layers: Sequence[int]) -> list[int] | bool:
    """Return what to ask of transformers: numbers, where it keeps no other states then (from 5.23), or all of them."""
    by_number = Version("5.23") <= Version(transformers.__version__)
    return list(layers) if layers and by_number else len(layers) > 0


def longest_sequence(config: PreTrainedConfig) -> int:
    """Return the longest sequence of a network in tokens; with scaled positions, `config` has the unscaled number."""
    longest: int = config.max_position_embeddings
    positions = getattr(config, "rope_parameters", None) or {}
    scaled = positions.get("rope_type") in ("linear", "dynamic")
    return int(longest * positions["factor"]) if scaled else longest
