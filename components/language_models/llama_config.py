"""The Llama within the configuration of a model that extends one: released Video-Panda and EVE are such models."""

from typing import Any

from transformers import LlamaConfig

_OF_THE_WHOLE = {"model_type", "architectures", "transformers_version", "auto_map"}


def llama_config(config: dict[str, Any]) -> LlamaConfig:
    """Return what `config`, a config.json, says of the Llama in it; the rest is left aside."""
    known = LlamaConfig().to_dict().keys() - _OF_THE_WHOLE
    return LlamaConfig(**{name: value for name, value in config.items() if name in known})
