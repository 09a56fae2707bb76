"""Any causal language model of the Hugging Face format, by name or folder: Vicuna for the paper, others to compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from components.language_models.base import LanguageModel
from components.language_models.prompt import PromptFormat, VicunaV1
from components.language_models.text import ChatText


class PretrainedCausalLM(LanguageModel):
    """A language model with pretrained weights and its own tokenizer.

    Safetensors are read where the model has them; other weight files are read as tensors only, and no code that comes
    with a model is run.

    Args:
        name_or_path: name on the Hugging Face hub, or folder with config.json, weights and tokenizer.
        prompt: format of conversations.
        dtype: number format of the weights in memory; bfloat16 halves it, for a language model that is not trained.

    Raises:
        ValueError: the model cannot be found or read, or its tokenizer has more tokens than it has embeddings.
    """

    def __init__(
        self,
        name_or_path: str,
        prompt: Callable[[], PromptFormat] = VicunaV1,
        dtype: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        try:
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(name_or_path)
            network: PreTrainedModel = AutoModelForCausalLM.from_pretrained(name_or_path, dtype=dtype)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"language model {name_or_path!r} could not be loaded; model.language_model.init_args.name_or_path "
                "must be a folder with config.json, weights and tokenizer files, or a name on the Hugging Face hub "
                f"that is in the local cache or can be downloaded. Reason: {error}"
            ) from error
        embeddings = network.config.get_text_config().vocab_size
        if len(tokenizer) > embeddings:
            raise ValueError(
                f"the tokenizer of {name_or_path!r} has {len(tokenizer)} tokens, but its network has embeddings for "
                f"{embeddings} (model.language_model.init_args.name_or_path)"
            )
        super().__init__(network, ChatText(tokenizer, prompt()))
