"""Small language models, so that every experiment can run on a laptop without a download."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from components.adapters import Adapter, NoAdapter
from components.language_models.language_model import LanguageModel
from components.language_models.prompt import PromptFormat, ShortPrompt
from components.language_models.text import ChatText
from components.positive import check_positive

VOCABULARY = Path(__file__).with_name("tiny_vocabulary.txt")


class TinyCausalLM(LanguageModel, ABC):
    """A small language model with random weights from torch's seed, and the built-in tokenizer.

    Args:
        width: size of an embedding; a multiple of twice `heads`.
        layers: number of layers.
        heads: number of attention heads.
        prompt: format of conversations.
        max_length: longest sequence, in tokens.
        adapter: parameters that are trained when the language model is trained; NoAdapter trains all weights.

    Raises:
        ValueError: a size is not positive, or `width` is not a multiple of twice `heads`.
    """

    def __init__(
        self,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        prompt: Callable[[], PromptFormat] = ShortPrompt,
        max_length: int = 4096,
        adapter: Callable[[], Adapter] = NoAdapter,
    ) -> None:
        where = "model.language_model.init_args"
        check_positive(where, width=width, layers=layers, heads=heads, max_length=max_length)
        if width % (2 * heads):
            raise ValueError(
                f"width {width} must be a multiple of twice the {heads} heads, because rotary positions turn pairs of "
                "channels (model.language_model.init_args.width and .heads)"
            )
        text = ChatText(build_tiny_tokenizer(), prompt())
        sizes = {
            "vocab_size": len(text.tokenizer),
            "hidden_size": width,
            "intermediate_size": 8 * math.ceil(width / 3),  # 8/3 as in Llama, as a multiple of 8
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": heads,
            "head_dim": width // heads,
            "max_position_embeddings": max_length,
            # The usual 0.02 suits widths of thousands; here attention would stay uniform for hundreds of steps.
            "initializer_range": width**-0.5,
            "bos_token_id": text.tokenizer.bos_token_id,
            "eos_token_id": text.end_id,
            "pad_token_id": None,
        }
        super().__init__(self.build(sizes), text, adapter)

    @staticmethod
    @abstractmethod
    def build(sizes: dict[str, Any]) -> PreTrainedModel:
        """Return the network for these settings of its configuration."""


class TinyLlama(TinyCausalLM):
    """A small Llama, the family of Vicuna, which is the language model of the paper."""

    @staticmethod
    def build(sizes: dict[str, Any]) -> PreTrainedModel:
        """Return a Llama."""
        return LlamaForCausalLM(LlamaConfig(**sizes))


class TinyQwen3(TinyCausalLM):
    """A small Qwen3, a family that normalises queries and keys."""

    @staticmethod
    def build(sizes: dict[str, Any]) -> PreTrainedModel:
        """Return a Qwen3."""
        return Qwen3ForCausalLM(Qwen3Config(**sizes))


def build_tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer from its word list; it is the same at every call.

    Every word is a token after a space, and with a capital letter also at the start of a text.
    """
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    as_byte_letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str
    words = VOCABULARY.read_text(encoding="utf-8").split()
    forms = [form for word in words for form in (f" {word}", f" {word.capitalize()}", word.capitalize())]
    pieces = dict.fromkeys([*sorted(byte_level.alphabet()), *(as_byte_letters(form)[0][0] for form in forms)])

    # With equal scores, the split into the fewest pieces is chosen.
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=None, byte_fallback=False))
    tokenizer.pre_tokenizer = byte_level
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", clean_up_tokenization_spaces=False
    )
