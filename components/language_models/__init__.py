"""Causal language models and the text around them: the family `language_models`.

The prompt formats are here too, because a language model takes one.
"""

from components.language_models.base import LanguageModel, LanguageModelOutput
from components.language_models.chat_template import ChatTemplate
from components.language_models.pretrained import PretrainedCausalLM
from components.language_models.prompt import FixedFormat, PromptFormat, ShortPrompt, VicunaV1, VideoPandaV1
from components.language_models.quantization import NF4, NoQuantization, Quantization
from components.language_models.text import ChatText, EncodedText
from components.language_models.tiny_llama import TinyLlama

__all__ = [
    "NF4",
    "ChatTemplate",
    "ChatText",
    "EncodedText",
    "FixedFormat",
    "LanguageModel",
    "LanguageModelOutput",
    "NoQuantization",
    "PretrainedCausalLM",
    "PromptFormat",
    "Quantization",
    "ShortPrompt",
    "TinyLlama",
    "VicunaV1",
    "VideoPandaV1",
]
