"""Start from the weights of another run: what hands over from one training stage to the next.

Unlike `ckpt_path`, which continues a run with its optimiser and counters, this takes weights alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from components.model_files import read_weights
from lightning_modules.training.checkpoint import (
    CheckpointError,
    changed_components,
    check_checkpoint,
    read_checkpoint,
    tensor_differences,
    weights_digest,
)
from lightning_modules.video_language import VideoLanguageModel


@dataclass(frozen=True)
class InitReport:
    """What became of every tensor, by name.

    Attributes:
        loaded: taken over.
        base: not in the file, which says that they are those of the same pretrained part.
        fresh: in the model, but not in the file (or of another shape there): as initialised.
        ignored: in the file, but not in the model (or of another shape there).
        sampled_sha256: hash of samples of all that is in the file.
    """

    loaded: tuple[str, ...]
    base: tuple[str, ...]
    fresh: tuple[str, ...]
    ignored: tuple[str, ...]
    sampled_sha256: str

    def lines(self) -> list[str]:
        """Return one line per kind, naming the modules that the tensors belong to."""
        kinds = {"loaded": self.loaded, "fresh": self.fresh, "ignored": self.ignored}
        if self.base:
            kinds["as pretrained"] = self.base
        return [
            f"{kind}: {len(names)} tensors{': ' if names else ''}{', '.join(by_module(names))}"
            for kind, names in kinds.items()
        ]


def by_module(names: Iterable[str], depth: int = 2) -> list[str]:
    """Return one text per module that tensors belong to: `encoder.fusion (5)`."""
    owners = sorted(".".join(name.split(".")[:depth]) for name in names)
    return [f"{owner} ({len(list(group))})" for owner, group in groupby(owners)]


def init_from(model: VideoLanguageModel, path: str | Path, partially: bool = False) -> InitReport:
    """Copy the weights of a checkpoint of ours into `model`.

    Args:
        model: the assembled model.
        path: checkpoint file of another run, or a safetensors file with the tensors of some groups of the model
            (`encoder`, `projector`, ..., a pretrained tower is one by itself); groups that it does not have stay as
            they are, and what it has for groups without tensors here, as `NoDistillation`, is left aside.
        partially: take over what fits by name and shape, also from another variant.

    Raises:
        CheckpointError: no checkpoint of ours, damaged, or with weights that are no numbers; or nothing in it fits; or,
            unless `partially`, its components, or names and shapes of its tensors, are not those of the model.
    """
    ours = model.state_dict()
    base: set[str] = set()
    if Path(path).suffix == ".safetensors":
        theirs = _safetensors(Path(path))
        digest = weights_digest(theirs)
        # Counters of batch normalisation, which nothing computes with, may be missing.
        groups = {_group(model, name) for name in theirs}
        ours = {
            name: tensor
            for name, tensor in ours.items()
            if name in theirs or (_group(model, name) in groups and not name.endswith("num_batches_tracked"))
        }
    else:
        theirs, base, digest = _checkpoint(model, path, partially)
    loaded = [
        name
        for name, tensor in ours.items()
        if name in theirs and name not in base and theirs[name].shape == tensor.shape
    ]
    known = {*loaded, *base}
    report = InitReport(
        tuple(loaded), tuple(base), tuple(sorted(ours.keys() - known)), tuple(sorted(theirs.keys() - known)), digest
    )
    groups = {name.split(".")[0] for name in model.state_dict()}
    misfits = [*report.fresh, *(name for name in report.ignored if name.split(".")[0] in groups)]
    if misfits and not partially:
        raise CheckpointError(
            f"init_from {path} does not have just the tensors of this model: "
            f"{tensor_differences(ours, theirs, misfits)}; "
            "set init_partially: true to take over what fits"
        )
    if not loaded:
        raise CheckpointError(f"init_from {path} has no tensor that fits this model by name and shape")
    with torch.no_grad():
        for name in loaded:
            ours[name].copy_(theirs[name])
    model.frozen_base.overwritten(loaded)
    return report


def _group(model: VideoLanguageModel, name: str) -> str:
    return next((path for path in model.frozen_base.parts if name.startswith(f"{path}.")), name.split(".")[0])


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return read_weights(path)
    except ValueError as error:
        raise CheckpointError(f"init_from {error}") from error


def _checkpoint(
    model: VideoLanguageModel, path: str | Path, partially: bool
) -> tuple[dict[str, Tensor], set[str], str]:
    """Return the tensors of a checkpoint, the names of those that it left to pretrained parts, and its digest."""
    check_checkpoint(path, key="init_from")
    content = read_checkpoint(Path(path), "init_from")
    changed = changed_components(model.component_names(), content["components"], f"init_from {path}")
    if changed and not partially:
        raise CheckpointError(
            f"init_from {path} holds another variant of the model ({'; '.join(changed)}, there -> here); "
            "set init_partially: true to take over what fits"
        )
    weights: dict[str, Tensor] = content["state_dict"]
    digest = weights_digest(weights)
    try:
        return weights, set(model.frozen_base.put_back(content, f"init_from {path}")), digest
    except CheckpointError:
        if not partially:
            raise
        return weights, set(), digest
