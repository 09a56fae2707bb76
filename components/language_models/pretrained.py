"""Any causal language model of the Hugging Face format, by name or folder: Vicuna for the paper, others to compare."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

from huggingface_hub.constants import HF_HUB_CACHE
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.import_utils import is_flash_attn_2_available

from components.adapters import Adapter, NoAdapter
from components.language_models.base import LanguageModel
from components.language_models.prompt import PromptFormat, VicunaV1
from components.language_models.quantization import NoQuantization, Quantization
from components.language_models.text import ChatText

DType = Literal["float32", "bfloat16"]
Attention = Literal["auto", "sdpa", "eager", "flash_attention_2"]
KEYS = "model.language_model.init_args"
FILES = (
    "config.json, weights (model.safetensors or pytorch_model.bin, or the index of their parts) and tokenizer files "
    "(tokenizer.json or tokenizer.model)"
)


class PretrainedCausalLM(LanguageModel):
    """A language model with pretrained weights and its own tokenizer.

    Safetensors are read where the model has them; other weight files are read as tensors only, and no code that comes
    with a model is run.

    Args:
        name_or_path: name on the Hugging Face hub, or folder with config.json, weights and tokenizer.
        prompt: format of conversations.
        dtype: number format of the weights in memory; bfloat16 halves it, for a language model that is not trained.
        attention: torch's fused attention (sdpa), plain operations (eager), or the package flash-attn, which needs CUDA
            and bfloat16; auto takes the first where the model's family has it, and else the second.
        gradient_checkpointing: keep only each layer's input while training and compute the layer again for its
            gradient: about a third more computation for a fraction of the memory.
        quantization: stores the weights of linear layers in fewer bits.
        adapter: what learns when the language model is trained.

    Raises:
        ValueError: the model cannot be found or read, lacks weights, or its tokenizer has more tokens than it has
            embeddings; or an option needs what is not there.
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
        tokenizer, network = _load(name_or_path, dtype, attention, quantization())
        embeddings = network.config.get_text_config().vocab_size
        if len(tokenizer) > embeddings:
            raise ValueError(
                f"the tokenizer of {name_or_path!r} has {len(tokenizer)} tokens, but its network has embeddings for "
                f"{embeddings} ({KEYS}.name_or_path)"
            )
        if gradient_checkpointing:
            # Not reentrant, so that gradients reach the visual tokens through frozen layers.
            # Its name since transformers 5.23, and the one before.
            enable = getattr(network, "activation_checkpointing_enable", network.gradient_checkpointing_enable)
            enable({"use_reentrant": False})
        super().__init__(network, ChatText(tokenizer, prompt()), adapter)
        self.source = name_or_path


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


def _load(
    name_or_path: str, dtype: str, attention: str, quantization: Quantization
) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    arguments = quantization.load_arguments()
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(name_or_path, trust_remote_code=False)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            name_or_path,
            dtype=dtype,
            attn_implementation=None if attention == "auto" else attention,
            trust_remote_code=False,
            output_loading_info=True,
            **arguments,
        )
    # A damaged file, or a device or package that quantisation lacks, is the user's to put right as well.
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"language model {name_or_path!r} could not be loaded ({KEYS}.name_or_path): {reason} "
            f"A language model needs {FILES}. {_where(name_or_path)}"
        ) from error
    network, report = loaded
    if report["missing_keys"]:
        absent = sorted(report["missing_keys"])
        raise ValueError(
            f"the weight files of {name_or_path!r} lack {len(absent)} tensors of a {type(network).__name__}, such as "
            f"{absent[0]}, which would be random ({KEYS}.name_or_path)"
        )
    return tokenizer, network


def _where(name_or_path: str) -> str:
    """Say where the files were looked for, and how to provide them."""
    if Path(name_or_path).is_dir():
        files = sorted(file.name for file in Path(name_or_path).iterdir() if file.is_file())
        return f"The folder has {', '.join(files) or 'no files'}"
    return (
        f"There is no such folder, and no such model in the local cache {HF_HUB_CACHE} or on the hub; where the hub "
        f"can be reached, `hf download {name_or_path} --local-dir FOLDER` makes a folder to name here"
    )
