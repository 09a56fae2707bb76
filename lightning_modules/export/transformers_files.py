"""The files by which transformers knows a model folder, as `AutoModelForImageTextToText` and `AutoProcessor` read it.

They are `config.json`, `generation_config.json`, `processor_config.json`, the tokenizer, and an index of the weight
files, which stay where they are: those of the language model have the names of a plain causal language model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import GenerationConfig, PreTrainedConfig

from components.language_models.text import ChatText

VERSION = metadata.version("video-panda-lightning")
MODEL_TYPE, MODEL, PROCESSOR = "video_panda", "VideoPandaForConditionalGeneration", "VideoPandaProcessor"
READING = ("canvas", "sampler", "shown_frames", "damaged", "resizing", "fit", "augmentation", "seed")
"""Settings of a data module by which the clips of its test become frames of the model."""
TRUE = {"bf16-true": torch.bfloat16, "16-true": torch.float16}
"""Precision of a test, in the words of Lightning -> number format that all weights have in it."""
INDEX = "model.safetensors.index.json"
_OURS = re.compile(r"(?:components|datamodules|lightning_modules)(?:\.\w+)*\.(\w+)")


def config_content(
    model: Mapping[str, Any],
    text_config: PreTrainedConfig,
    dtype: torch.dtype,
    precision: str | None,
    adapter: str | None = None,
) -> dict[str, Any]:
    """Return the settings of a `VideoPandaConfig`.

    Args:
        model: settings of the model, as in YAML.
        text_config: configuration of the language model.
        dtype: number format of the weights of encoder and projector.
        precision: precision of the run's test, in the words of Lightning.
        adapter: folder of an adapter of the language model inside the model folder.
    """
    true = TRUE.get(precision or "")
    return {
        "encoder": short_names(model["encoder"]),
        "projector": short_names(model.get("projector", "MLPProjector")),
        # Without the path on this machine, which is of no use to others.
        "text_config": {name: value for name, value in text_config.to_dict().items() if name != "_name_or_path"},
        "dtype": dtype_name(true or dtype),
        "language_model_dtype": dtype_name(true or text_config.dtype or dtype),
        "precision": precision or "32-true",
        "adapter": adapter,
        "written_by": VERSION,
    }


def processor_content(model: Mapping[str, Any], data: Mapping[str, Any], max_length: int) -> dict[str, Any]:
    """Return the settings of a `VideoPandaProcessor`.

    Args:
        model: settings of the model, as in YAML.
        data: settings of the data module (`data.init_args`), of which most are left aside.
        max_length: longest sequence of the language model, in tokens.
    """
    return {
        "encoder": short_names(model["encoder"]),
        "prompt": short_names(model["language_model"]["init_args"]["prompt"]),
        "reading": short_names({name: data[name] for name in READING if name in data}),
        "max_length": max_length,
        "written_by": VERSION,
    }


def generation_config(text: ChatText, max_new_tokens: int) -> GenerationConfig:
    """Return the settings of generation in a run's test, which is greedy."""
    return GenerationConfig(
        do_sample=False,
        max_new_tokens=max_new_tokens,
        bos_token_id=text.tokenizer.bos_token_id,
        eos_token_id=text.end_id,
        pad_token_id=text.pad_id,
    )


def write_transformers_files(
    folder: Path, config: Mapping[str, Any], processor: Mapping[str, Any], text: ChatText, max_new_tokens: int
) -> None:
    """Write the files into a model folder that has its weights.

    Args:
        folder: model folder.
        config: content of config.json, see `config_content`.
        processor: content of processor_config.json, see `processor_content`.
        text: tokenizer and prompt.
        max_new_tokens: longest answer, in tokens.
    """
    text.tokenizer.save_pretrained(folder)
    generation_config(text, max_new_tokens).save_pretrained(folder)
    _write(folder / "config.json", {"model_type": MODEL_TYPE, "architectures": [MODEL], **config})
    _write(folder / "processor_config.json", {"processor_class": PROCESSOR, **processor})
    files = [
        file
        for file in sorted(folder.rglob("*.safetensors"))
        if file.name not in ("adapter_model.safetensors", "unused.safetensors")
    ]
    places: dict[str, str] = {}
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            places |= dict.fromkeys(tensors.keys(), file.relative_to(folder).as_posix())
    size = sum(file.stat().st_size for file in files)
    _write(folder / INDEX, {"metadata": {"total_size": size}, "weight_map": places})


def dtype_name(dtype: torch.dtype | str) -> str:
    """Return the name of a number format in a config.json."""
    return str(dtype).removeprefix("torch.")


def short_names(value: Any) -> Any:
    """Return settings with classes of this project by their short names, which stay the same when modules move."""
    if isinstance(value, Mapping):
        return {key: short_names(item) for key, item in value.items()}
    if isinstance(value, list):
        return [short_names(item) for item in value]
    ours = _OURS.fullmatch(value) if isinstance(value, str) else None
    return ours[1] if ours else value


def _write(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
