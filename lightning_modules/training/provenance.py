"""Provenance of test figures, by which two of them can be judged comparable years later."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer

from components.files import content_hash
from components.fingerprint import sampled_fingerprint
from datamodules.video_text import VideoTextDataModule
from lightning_modules.runs.checkout import OWN_FILE, checkout_of
from lightning_modules.video_language import VideoLanguageModel

# This project, and the packages that a model's input and answers depend on.
PACKAGES = ("video-panda-lightning", "torch", "lightning", "transformers", "tokenizers", "av", "decord2", "pillow")
_DATA_SETTINGS = ("canvas", "sampler", "shown_frames", "damaged", "bad_media")


def provenance(trainer: Trainer, module: VideoLanguageModel, answer_settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the provenance of a test that begins, ready for JSON.

    Args:
        trainer: trainer of the test.
        module: the model under test.
        answer_settings: configuration that the answers depend on.
    """
    return {
        "components": module.component_names(),
        "checkpoint": _checkpoint(answer_settings, "checkpoint"),
        "init_from": _checkpoint(answer_settings, "init_from"),
        "steps_of_this_run": trainer.global_step,
        **environment(trainer),
        "generation": {"greedy": True, "max_new_tokens": module.max_new_tokens},
        "compared": compared(module.data),
        "data": _data(module.data, answer_settings.get("data", {}).get("init_args", {})),
        "seed": module.data.seed,
    }


def base_weights(model: VideoLanguageModel) -> dict[str, dict[str, Any]]:
    """Return sources and hashes of the pretrained weights of a model and its teacher, before the model is sharded.

    The hashes are of samples (`sampled_fingerprint`), which costs nothing. Checkpoints have hashes of all bits of the
    frozen weights; see `FrozenBase`.
    """
    teacher = [*model.teacher.network.parameters()]
    frozen_teacher = {
        "teacher": {
            "source": type(model.teacher).__name__,
            "tensors": len(teacher),
            "sampled_sha256": sampled_fingerprint((str(place), tensor) for place, tensor in enumerate(teacher)),
        }
    }
    return model.frozen_base.origins() | (frozen_teacher if teacher else {})


def untrained_groups(model: VideoLanguageModel) -> list[str]:
    """Return the parameter groups with random weights that answers depend on, before any weights are loaded."""
    base = {
        f"{path}.{name}"
        for path, part in model.frozen_base.parts.items()
        if part.source is not None
        for name in part.base_names
    }
    answering = {name: group for name, group in model.groups().items() if name != "distillation"}
    return [
        name
        for name, group in answering.items()
        if any(f"{name}.{parameter}" not in base for parameter, _ in group.named_parameters())
    ]


def environment(trainer: Trainer) -> dict[str, Any]:
    """Return code, versions, device and precisions of a run, ready for JSON."""
    checkout = checkout_of(OWN_FILE)
    return {
        "code": checkout and asdict(checkout),
        "versions": {"python": platform.python_version()} | {package: _version(package) for package in PACKAGES},
        "device": device_name(trainer.strategy.root_device),
        "processes": trainer.world_size,
        "precision": str(trainer.precision),
        "float32_matmul": torch.get_float32_matmul_precision(),  # "highest": exact; "high": TF32 on CUDA
    }


def compared(data: VideoTextDataModule) -> dict[str, dict[str, str]]:
    """Return the rules by which replies are compared with references, for every kind of answer in the test."""
    kinds = {type(record.answer_kind) for record in data.records("test")}
    return {
        kind.__name__: {"rules": kind.rules, "sha256": _digest(kind.rules)}
        for kind in sorted(kinds, key=lambda kind: kind.__name__)
    }


def checksums(files: Sequence[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file."""
    return {str(file): content_hash(file) for file in files}


def device_name(device: torch.device) -> str:
    """Return the name of the GPU or CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.processor() or platform.machine()})"


def _data(data: VideoTextDataModule, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "module": type(data).__name__,
        **{key: settings[key] for key in _DATA_SETTINGS if key in settings},
        "manifest_sha256": data.manifest.sha256,
        "question_files": checksums(data.question_files("test")),
    }


def _checkpoint(answer_settings: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """Return path, size and modification time of a checkpoint; None without one."""
    if answer_settings.get(key) is None:
        return None
    size, changed = answer_settings[f"{key}_written"] or (None, None)
    return {"path": answer_settings[key], "bytes": size, "mtime_ns": changed}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
