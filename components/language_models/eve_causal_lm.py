"""The language model of an EVE checkpoint, from which the official training of Video-Panda starts."""

from typing import Any

from transformers import LlamaConfig, PreTrainedConfig

from components.language_models.pretrained_causal_lm import KEYS, PretrainedCausalLM

# What EVE stores beside its language model: image tokenizer, projector, teacher, and the head that learns from it.
_VISION = ("model.vision_tower.", "model.mm_projector.", "model.vision_clip.", "model.vision_tower_compressor.")
_COMPUTED = ".rotary_emb.inv_freq"
_OF_THE_WHOLE = {"model_type", "architectures", "transformers_version", "auto_map"}


class EVECausalLM(PretrainedCausalLM):
    """The Llama in EVE (arXiv 2406.11832), which was trained further there on images.

    Only the language model is taken; the encoder is a choice of its own. No code that comes with the checkpoint is run.

    Raises:
        ValueError: it is no checkpoint of EVE, holds tensors that are not explained, or for what `PretrainedCausalLM`
            refuses.
    """

    @classmethod
    def read_config(cls, name_or_path: str) -> PreTrainedConfig:
        """Return the configuration of the Llama.

        Raises:
            ValueError: there is no config.json, or it is of another family.
        """
        config, _ = PreTrainedConfig.get_config_dict(name_or_path)
        if config.get("model_type") != "eve":
            raise ValueError(
                f"config.json has model_type {config.get('model_type')!r}, not 'eve'; for a plain language model set "
                "model.language_model to PretrainedCausalLM."
            )
        return cls.sized_config(config)

    @classmethod
    def sized_config(cls, sizes: dict[str, Any]) -> PreTrainedConfig:
        """Return the configuration of the Llama from the content of a config.json."""
        return llama_config(sizes)

    def explained(self, unexpected: list[str]) -> tuple[str, ...]:
        """Return the names of the vision part's tensors.

        Raises:
            ValueError: there are others.
        """
        unknown = [name for name in unexpected if not name.startswith(_VISION) and not name.endswith(_COMPUTED)]
        if unknown:
            raise ValueError(
                f"{self.name_or_path!r} ({KEYS}.name_or_path) holds {len(unknown)} tensors that are none of EVE's: "
                f"{', '.join(unknown[:5])}"
            )
        return super().explained(unexpected)


def llama_config(config: dict[str, Any]) -> LlamaConfig:
    """Return what `config`, a config.json, says of the Llama in it; the rest is left aside."""
    known = LlamaConfig().to_dict().keys() - _OF_THE_WHOLE
    return LlamaConfig(**{name: value for name, value in config.items() if name in known})
