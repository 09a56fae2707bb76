"""The language model of an EVE checkpoint, from which the official training of Video-Panda starts."""

from typing import Any

from transformers import LlamaConfig, PreTrainedConfig

from components.language_models.pretrained_causal_lm import KEYS, PretrainedCausalLM

# The parts of EVE beside its language model: image tokenizer, projector, teacher, and distillation head.
_VISION = ("model.vision_tower.", "model.mm_projector.", "model.vision_clip.", "model.vision_tower_compressor.")
_COMPUTED = ".rotary_emb.inv_freq"
_NOT_OF_LLAMA = {"model_type", "architectures", "transformers_version", "auto_map"}


class EVECausalLM(PretrainedCausalLM):
    """The Llama of EVE (arXiv 2406.11832), which was trained further on images.

    Only the language model is loaded; the encoder is chosen separately. No code of the checkpoint is run.

    Raises:
        ValueError: the checkpoint is not of EVE, has unknown tensors, or cannot be loaded by `PretrainedCausalLM`.
    """

    @classmethod
    def read_config(cls, name_or_path: str) -> PreTrainedConfig:
        """Return the configuration of the Llama.

        Raises:
            ValueError: config.json does not exist, or is of another family.
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
            ValueError: there are unknown tensors.
        """
        unknown = [name for name in unexpected if not name.startswith(_VISION) and not name.endswith(_COMPUTED)]
        if unknown:
            raise ValueError(
                f"{self.name_or_path!r} ({KEYS}.name_or_path) holds {len(unknown)} tensors that are none of EVE's: "
                f"{', '.join(unknown[:5])}"
            )
        return super().explained(unexpected)


def llama_config(config: dict[str, Any]) -> LlamaConfig:
    """Return the configuration of the Llama in a config.json, without the settings of other parts."""
    names = LlamaConfig().to_dict().keys() - _NOT_OF_LLAMA
    return LlamaConfig(**{name: value for name, value in config.items() if name in names})
