"""What figures of a test come from: enough to tell, years later, whether two of them can be compared."""

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

from components.fingerprint import sampled_fingerprint
from datamodules.video_text import VideoTextDataModule
from lightning_modules.runs.checkout import OWN_FILE, checkout_of
from lightning_modules.video_language import VideoLanguageModel

# Ours, and those that what a model sees and says depends on.
PACKAGES = ("video-panda-lightning", "torch", "lightning", "transformers", "tokenizers", "av", "decord2", "pillow")
_SEEN = ("canvas", "sampler", "shown_frames", "damaged", "bad_media")


def provenance(trainer: Trainer, module: VideoLanguageModel, asked_by: Mapping[str, Any]) -> dict[str, Any]:
    """Return what can be known when a test begins, ready for JSON.

    Args:
        trainer: that tests.
        module: that answers.
        asked_by: what its answers depend on, as the command line has it.
    """
    return {
        "components": module.component_names(),
        "checkpoint": _checkpoint(asked_by, "checkpoint"),
        "init_from": _checkpoint(asked_by, "init_from"),
        "steps_of_this_run": trainer.global_step,
        **environment(trainer),
        "generation": {"greedy": True, "max_new_tokens": module.max_new_tokens},
        "compared": compared(module.data),
        "data": _data(module.data, asked_by.get("data", {}).get("init_args", {})),
        "seed": module.data.seed,
    }


def base_weights(model: VideoLanguageModel) -> dict[str, dict[str, Any]]:
    """Return what pretrained weights a model begins with, and those of its teacher; to be asked before it is sharded.

    The hashes are of samples (`sampled_fingerprint`) and cost nothing. Checkpoints have those of all bits of frozen
    weights, see `FrozenBase`.
    """
    teacher = [*model.teacher.network.parameters()]
    asked = {
        "teacher": {
            "source": type(model.teacher).__name__,
            "tensors": len(teacher),
            "sampled_sha256": sampled_fingerprint((str(place), tensor) for place, tensor in enumerate(teacher)),
        }
    }
    return model.frozen_base.origins() | (asked if teacher else {})


def untrained_groups(model: VideoLanguageModel) -> list[str]:
    """Return the groups that answer with weights which neither a training nor a pretrained part gave them.

    To be asked before anything is loaded into the model.
    """
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
    """Return the code and the machine that a run has, ready for JSON."""
    checkout = checkout_of(OWN_FILE)
    return {
        "code": checkout and asdict(checkout),
        "versions": {"python": platform.python_version()} | {package: _version(package) for package in PACKAGES},
        "device": device_name(trainer.strategy.root_device),
        "processes": trainer.world_size,
        "precision": str(trainer.precision),
    }


def compared(data: VideoTextDataModule) -> dict[str, dict[str, str]]:
    """Return how replies are compared with references: the rules of every kind of answer that is asked for."""
    kinds = {type(record.answer_kind) for record in data.records("test")}
    return {
        kind.__name__: {"rules": kind.rules, "sha256": _digest(kind.rules)}
        for kind in sorted(kinds, key=lambda kind: kind.__name__)
    }


def checksums(files: Sequence[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file."""
    found = {}
    for file in files:
        with file.open("rb") as content:
            found[str(file)] = hashlib.file_digest(content, "sha256").hexdigest()
    return found


def device_name(device: torch.device) -> str:
    """Return what answers are worked out on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.processor() or platform.machine()})"


def _data(data: VideoTextDataModule, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "module": type(data).__name__,
        **{key: settings[key] for key in _SEEN if key in settings},
        "manifest_sha256": data.manifest.sha256,
        "question_files": checksums(data.question_files("test")),
    }


def _checkpoint(asked_by: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """Return path, size and time of change; None where no checkpoint was named."""
    if asked_by.get(key) is None:
        return None
    size, changed = asked_by[f"{key}_written"] or (None, None)
    return {"path": asked_by[key], "bytes": size, "mtime_ns": changed}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
