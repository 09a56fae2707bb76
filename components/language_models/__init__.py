"""Causal language models and the text around them: the family `language_models`.

The prompt formats are here too, because a language model takes one.
"""

from components.language_models.chat_template import ChatTemplate
from components.language_models.eve_causal_lm import EVECausalLM
from components.language_models.language_model import LanguageModel, LanguageModelOutput
from components.language_models.pretrained_causal_lm import PretrainedCausalLM
from components.language_models.pretrained_tiny_llama import PretrainedTinyLlama
from components.language_models.prompt import (
    FixedFormat,
    PromptFormat,
    ShortPrompt,
    VicunaV1,
    VideoChatGPTV1,
    VideoPandaV1,
)
from components.language_models.quantization import NF4, NoQuantization, Quantization
from components.language_models.text import ChatText, EncodedText
from components.language_models.tiny_causal_lm import TinyCausalLM, TinyLlama, TinyQwen3

__all__ = [
    "NF4",
    "ChatTemplate",
    "ChatText",
    "EVECausalLM",
    "EncodedText",
    "FixedFormat",
    "LanguageModel",
    "LanguageModelOutput",
    "NoQuantization",
    "PretrainedCausalLM",
    "PretrainedTinyLlama",
    "PromptFormat",
    "Quantization",
    "ShortPrompt",
    "TinyCausalLM",
    "TinyLlama",
    "TinyQwen3",
    "VicunaV1",
    "VideoChatGPTV1",
    "VideoPandaV1",
]
