"""Pretrained causal language models in the Hugging Face format, by name or folder: Vicuna for the paper, or others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_utils import load_state_dict
from transformers.utils.hub import cached_file, get_checkpoint_shard_files
from transformers.utils.import_utils import is_flash_attn_2_available

from components.adapters import Adapter, NoAdapter
from components.adapters.adapter import is_quantized
from components.language_models.language_model import LanguageModel
from components.language_models.prompt import PromptFormat, ShortPrompt, VicunaV1
from components.language_models.quantization import NoQuantization, Quantization
from components.language_models.text import ChatText
from components.language_models.tiny_causal_lm import build_tiny_tokenizer
from components.model_files import UNREADABLE, not_finite, whereabouts, why
from components.published import Pretrained, only_sizes, sizes_of
from components.stored_weights import StoredWeight, no_memory, stay_in_files

DType = Literal["float32", "bfloat16"]
Attention = Literal["auto", "sdpa", "eager", "flash_attention_2"]
KEYS = "model.language_model.init_args"
FILES = (
    "config.json, weights (model.safetensors or pytorch_model.bin, or the index of their parts) and tokenizer files "
    "(tokenizer.json or tokenizer.model)"
)


class PretrainedCausalLM(LanguageModel, Pretrained):
    """A language model with pretrained weights and its own tokenizer.

    Safetensors are preferred; other weight files are read as tensors only, and no code of a model is run. On the meta
    device only the sizes are read, and a small tokenizer replaces that of the model.

    Args:
        name_or_path: name on the Hugging Face hub, or folder with config.json, weights and tokenizer.
        prompt: format of conversations.
        dtype: number format of the weights in memory; bfloat16 takes half the memory, for a frozen language model.
        attention: implementation of attention: torch's fused one (sdpa), plain operations (eager), or the package
            flash-attn, which needs CUDA and bfloat16; auto is sdpa if the model supports it, and else eager.
        gradient_checkpointing: whether to keep only the input of each layer in training and compute the layer again
            for its gradient, which takes about a third more computation and a fraction of the memory.
        quantization: storage of the weights of linear layers in fewer bits.
        adapter: parameters that are trained when the language model is trained; NoAdapter trains all weights.

    Raises:
        ValueError: the model cannot be found or read, lacks weights, or has fewer embeddings than its tokenizer has
            tokens; or an option needs a missing package or another setting.
    """

    def __init__(
        self,
        name_or_path: str,
        prompt: Callable[[], PromptFormat] = VicunaV1,
        dtype: DType = "float32",
        attention: Attention = "auto",
        gradient_checkpointing: bool = False,
        quantization: Callable[[], Quantization] = NoQuantization,
        adapter: Callable[[], Adapter] = NoAdapter,
    ) -> None:
        _check_attention(attention, dtype)
        self._own_prompt = prompt if only_sizes() else None
        if only_sizes():
            prompt = ShortPrompt  # suits the small tokenizer
        tokenizer, network, unexpected = (
            _sized(self.sized_config(sizes_of(name_or_path, f"{KEYS}.name_or_path")), dtype, attention, quantization())
            if only_sizes()
            else _load(name_or_path, self.read_config, dtype, attention, quantization().load_arguments())
        )
        embeddings = network.config.get_text_config().vocab_size
        if len(tokenizer) > embeddings:
            raise ValueError(
                f"the tokenizer of {name_or_path!r} has {len(tokenizer)} tokens, but its network has embeddings for "
                f"{embeddings} ({KEYS}.name_or_path)"
            )
        if gradient_checkpointing and not only_sizes():
            # Not reentrant, so that gradients reach the visual tokens through frozen layers.
            # The method was renamed in transformers 5.23.
            enable = getattr(network, "activation_checkpointing_enable", network.gradient_checkpointing_enable)
            enable({"use_reentrant": False})
        super().__init__(network, ChatText(tokenizer, prompt()), adapter)
        self.name_or_path = self.source = name_or_path
        self.gradient_checkpointing = gradient_checkpointing
        self.left_aside = self.explained(unexpected)

    def read_text(self) -> ChatText:
        """Return tokenizer and prompt; on the meta device, those of the files instead of the small tokenizer's."""
        if self._own_prompt is None:
            return self.text
        try:
            return ChatText(_read_tokenizer(self.name_or_path, self.read_config(self.name_or_path)), self._own_prompt())
        except UNREADABLE as error:
            raise ValueError(f"the tokenizer of {self.name_or_path!r} could not be loaded: {why(error)}") from error

    @classmethod
    def read_config(cls, name_or_path: str) -> PreTrainedConfig:
        """Return the configuration of the network, which also decides its class.

        Raises:
            ValueError: there is no configuration, or transformers does not know its family.
        """
        config: PreTrainedConfig = AutoConfig.from_pretrained(name_or_path, trust_remote_code=False)
        return config

    @classmethod
    def sized_config(cls, sizes: dict[str, Any]) -> PreTrainedConfig:
        """Return the configuration of the network from the content of a config.json."""
        config: PreTrainedConfig = AutoConfig.for_model(**sizes)
        return config

    def explained(self, unexpected: list[str]) -> tuple[str, ...]:
        """Return the names of tensors in the weight files that the network does not have, if they may be ignored.

        Raises:
            ValueError: there are unknown tensors.
        """
        return tuple(unexpected)

    def export(self, folder: Path) -> str:
        """Write network and tokenizer in the Hugging Face format, with the weights in parts of at most 5 GB.

        The adapter is not written. It is removed from this model, so that no second copy of the weights is needed.

        Returns:
            `PretrainedCausalLM`, since the format is the plain one, whatever the format of the original weights.

        Raises:
            ValueError: the weights are quantised.
        """
        if is_quantized(self.network):
            raise ValueError(
                f"the weights of {self.name_or_path!r} are quantised ({KEYS}.quantization), and only whole ones can be "
                "written"
            )
        self.network = self.adapter.detach(self.network)
        self.adapter = NoAdapter()
        self.network.save_pretrained(folder, max_shard_size="5GB")
        self.text.tokenizer.save_pretrained(folder)
        sentencepiece = _file(self.name_or_path, "tokenizer.model")
        if sentencepiece is not None:  # for programs older than tokenizer.json
            shutil.copyfile(sentencepiece, folder / "tokenizer.model")
        return PretrainedCausalLM.__name__


def _file(name_or_path: str, name: str) -> str | None:
    try:
        return cached_file(name_or_path, name)
    except OSError:
        return None


def _check_attention(attention: str, dtype: str) -> None:
    if attention not in get_args(Attention):
        raise ValueError(f"{KEYS}.attention: unknown {attention!r}; known: {', '.join(get_args(Attention))}")
    if attention != "flash_attention_2":
        return
    if not is_flash_attn_2_available():
        raise ValueError(
            f"{KEYS}.attention is flash_attention_2, which needs a CUDA device and the package flash-attn (`pip "
            "install flash-attn --no-build-isolation`); or set it to sdpa, torch's own fused attention"
        )
    if dtype != "bfloat16":
        raise ValueError(f"{KEYS}.attention is flash_attention_2, which needs {KEYS}.dtype bfloat16, not {dtype}")


def _sized(
    config: PreTrainedConfig, dtype: str, attention: str, quantization: Quantization
) -> tuple[PreTrainedTokenizerBase, PreTrainedModel, list[str]]:
    """Return the built-in tokenizer and the network without weights, on the meta device."""
    network: PreTrainedModel = AutoModelForCausalLM.from_config(
        config, dtype=getattr(torch, dtype), attn_implementation=None if attention == "auto" else attention
    )
    quantization.take_sizes(network)
    return build_tiny_tokenizer(), network, []


def _read_tokenizer(name_or_path: str, config: PreTrainedConfig) -> PreTrainedTokenizerBase:
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        name_or_path, config=config, trust_remote_code=False
    )
    return tokenizer


def _load(
    name_or_path: str,
    read_config: Callable[[str], PreTrainedConfig],
    dtype: str,
    attention: str,
    arguments: dict[str, Any],
) -> tuple[PreTrainedTokenizerBase, PreTrainedModel, list[str]]:
    """Return tokenizer, network, and the names of tensors in the weight files that the network does not have."""
    try:
        config = read_config(name_or_path)
        if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
            raise ValueError(f"its config.json is of a {config.model_type}, which is no causal language model")
        tokenizer = _read_tokenizer(name_or_path, config)
        # Quantised weights are made, or unpacked, while they are loaded.
        quantized = bool(arguments) or hasattr(config, "quantization_config")
        file_format = _stored_format(name_or_path) if stay_in_files() and not quantized else None
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            name_or_path,
            config=config,
            dtype=file_format or dtype,  # in the format of their files, weights stay mapped
            attn_implementation=None if attention == "auto" else attention,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, with their names
            **arguments,
        )
    # Also for a damaged file, or a device or package missing for quantisation, which the user can put right.
    except (*UNREADABLE, ImportError) as error:
        raise ValueError(
            f"language model {name_or_path!r} could not be loaded ({KEYS}.name_or_path): {why(error)}. "
            f"A language model needs {FILES}. {whereabouts(name_or_path)}"
        ) from error
    network, report = loaded
    if report["missing_keys"]:
        absent = sorted(report["missing_keys"])
        raise ValueError(
            f"the weight files of {name_or_path!r} lack {len(absent)} tensors of a {type(network).__name__}, such as "
            f"{absent[0]}, which would be random ({KEYS}.name_or_path)"
        )
    misshapen = [f"{key} of shape {list(stored)}, not {list(own)}" for key, stored, own in report["mismatched_keys"]]
    if misshapen:
        raise ValueError(
            f"{len(misshapen)} tensors of {name_or_path!r} do not have the shapes that its config.json says, such as "
            f"{min(misshapen)} ({KEYS}.name_or_path)"
        )
    bad = not_finite(dict(network.named_parameters()))
    if bad is not None:
        raise ValueError(f"{bad} of {name_or_path!r} has NaN or infinite values ({KEYS}.name_or_path)")
    unexpected = sorted(report["unexpected_keys"])
    return tokenizer, _in_files(network, config, dtype, attention) if file_format else network, unexpected


def _stored_format(name_or_path: str) -> torch.dtype | None:
    """Return the number format in which all weights in the files can be held as they are; None without any."""
    for name in ("model.safetensors", "pytorch_model.bin"):
        whole, index = _file(name_or_path, name), _file(name_or_path, f"{name}.index.json")
        if whole or index:
            files = [whole] if whole else get_checkpoint_shard_files(name_or_path, index)[0]
            tensors = [tensor for file in files for tensor in load_state_dict(file, map_location="meta").values()]
            formats = [tensor.dtype for tensor in tensors if tensor.is_floating_point()]
            return reduce(torch.promote_types, formats) if formats else None
    return None


def _in_files(loaded: PreTrainedModel, config: PreTrainedConfig, dtype: str, attention: str) -> PreTrainedModel:
    """Return a network like a loaded one, whose weights are the latter's, mapped from files, until they are read.

    It is built anew, and not converted, since the buffers of some networks depend on the format they are built in.
    """
    stored = dict(loaded.named_parameters(remove_duplicate=False))
    placeholders = {name: no_memory(tensor.shape, getattr(torch, dtype)) for name, tensor in stored.items()}
    network: PreTrainedModel = type(loaded).from_pretrained(
        None,
        config=config,
        state_dict=loaded.state_dict() | placeholders,
        dtype=dtype,
        attn_implementation=None if attention == "auto" else attention,
    )
    network.name_or_path = network.config.name_or_path = loaded.name_or_path
    weights: dict[int, StoredWeight] = {}  # one for a tensor that has several names
    for name, tensor in stored.items():
        weights.setdefault(id(tensor), StoredWeight.of(tensor, network.get_parameter(name).dtype))
    own = {name: weights[id(tensor)] for name, tensor in stored.items()}
    network.load_state_dict(own, strict=False, assign=True)  # buffers are not among them
    return network
