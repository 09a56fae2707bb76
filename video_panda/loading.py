"""Finds a trained model by what a user names: run folder, checkpoint, model folder, or repository on the hub."""

from __future__ import annotations

import re
from argparse import ArgumentError
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError

from components.files import read_object
from lightning_modules.config.chain import read_config, replace_here
from lightning_modules.export.trained_run import find_run, load, model_parser
from lightning_modules.export.transformers_files import MODEL_TYPE, TRUE, processor_content
from lightning_modules.runs.folder import CONFIG, LAST_CHECKPOINT, is_checkpoint
from lightning_modules.training.init_from import init_from
from lightning_modules.video_language import VideoLanguageModel
from video_panda.modeling import VideoPandaForConditionalGeneration
from video_panda.processing import VideoPandaProcessor
from video_panda.settings import of_version

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
Loaded = tuple[VideoPandaForConditionalGeneration, VideoPandaProcessor]


def local(source: str | Path, revision: str | None = None) -> Path:
    """Return a source on this machine, which is downloaded if it is a repository and no such folder is here.

    Raises:
        ValueError: the repository cannot be had.
    """
    path = Path(source).expanduser()
    if path.exists() or not _REPOSITORY.fullmatch(str(source)):
        return path
    try:
        return Path(snapshot_download(str(source), revision=revision))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        why = str(error).strip().split("\n")[0]
        raise ValueError(f"{source} is no folder here, and no repository that the hub gives: {why}") from error


def load_model(source: Path, dtype: torch.dtype | None) -> Loaded:
    """Load a model from this machine, in the number format of its test unless `dtype` says another.

    Raises:
        ValueError: there is no model in `source`, its files do not belong together or are damaged, or they are of
            another version of this project.
    """
    if is_checkpoint(source) or is_checkpoint(source / LAST_CHECKPOINT):
        run = find_run(source)
        try:
            return _of(load(run).model, run.config, dtype)
        except ArgumentError as error:
            raise ValueError(
                f"{run.folder} was trained by another version of video-panda, as `video-panda show {run.folder}` says: "
                f"export it with that one ({' '.join(str(error).split())})"
            ) from error
    if (source / "config.json").is_file():
        return _of_transformers(source, dtype)
    file = source / CONFIG
    config = replace_here(read_config(file), source.absolute()) if file.is_file() else {}
    if not config.get("init_from") or "model" not in config:
        raise ValueError(
            f"{source} is neither a model folder ({CONFIG} or config.json with weights, as video-panda export writes "
            f"it) nor a run folder ({CONFIG} and {LAST_CHECKPOINT})"
        )
    if "data" not in config:
        raise ValueError(
            f"{file} does not say how clips are read, as those of imported baselines and of folders that an earlier "
            "import-official wrote: import the checkpoint again, or test it with `python -m lightning test`"
        )
    try:
        parser = model_parser()
        model: VideoLanguageModel = parser.instantiate_classes(parser.parse_object({"model": config["model"]})).model
    except ArgumentError as error:
        raise ValueError(f"{file} {of_version(None)} ({' '.join(str(error).split())})") from error
    init_from(model, config["init_from"])
    return _of(model, config, dtype)


def _of(model: VideoLanguageModel, config: Mapping[str, Any], dtype: torch.dtype | None) -> Loaded:
    """Return a model of this project for transformers."""
    precision = str(config.get("trainer", {}).get("precision") or "32-true")
    language_model = model.language_model
    content = processor_content(config["model"], config["data"]["init_args"], language_model.max_length)
    processor = VideoPandaProcessor(language_model.text.tokenizer, **content)
    ours = VideoPandaForConditionalGeneration.of(model, config["model"], precision)
    true = dtype or TRUE.get(precision)
    if true is not None:
        ours.to(dtype=true)  # type: ignore[call-arg]  # decorated in transformers
    return ours, processor


def _of_transformers(source: Path, dtype: torch.dtype | None) -> Loaded:
    config = read_object(source / "config.json")
    if config.get("model_type") != MODEL_TYPE:
        official = "; `video-panda import-official` makes a folder of a released Video-Panda"
        raise ValueError(
            f"{source / 'config.json'} is of a {config.get('model_type')!r}, not of a {MODEL_TYPE!r}"
            f"{official if 'video_hidden_size' in config else ', and neither is it a run folder'}"
        )
    try:
        processor = VideoPandaProcessor.from_pretrained(source)
        model = VideoPandaForConditionalGeneration.from_pretrained(source, dtype=dtype or "auto")
    except SafetensorError as error:
        raise ValueError(f"the weights in {source} are damaged: {error}") from error
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{source} cannot be loaded: {' '.join(str(error).split())}") from error
    # A test in such a precision has rotary frequencies in it too, which transformers keeps in float32.
    true = TRUE.get(model.config.precision) if dtype is None else None
    return (model if true is None else model.to(true)), processor
