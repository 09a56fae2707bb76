"""The weights that a run begins with, such as those of another run: what hands over from one stage to the next.

Unlike `ckpt_path`, which continues a run with its optimiser and counters, `init_from` takes weights alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from components.model_files import read_weights
from datamodules.printable import say
from lightning_modules.training.checkpoint import (
    CheckpointError,
    changed_components,
    check_checkpoint,
    read_checkpoint,
    tensor_differences,
    weights_digest,
)
from lightning_modules.training.provenance import base_weights, untrained_groups
from lightning_modules.training.resume import check_resumable
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


@dataclass(frozen=True)
class FirstWeights:
    """What weights a run begins with.

    Attributes:
        pretrained: part of the model -> where its pretrained weights are from, and a hash of samples of them.
        lines: on weights that were taken from elsewhere, left aside, or are of no training.
        init_from: file that weights were taken from, and a hash of samples of it; None of none.
    """

    pretrained: Mapping[str, Any]
    lines: list[str]
    init_from: Mapping[str, Any] | None = None


def begin(
    model: VideoLanguageModel, checkpoint: str | None, path: str | None, partially: bool, training: bool
) -> FirstWeights:
    """Give a model the weights that its run begins with, and say which these are.

    A run that is continued has its own weights, which must be of this model before its config.yaml is written anew.

    Args:
        model: as built.
        checkpoint: that the run goes on from.
        path: of another run's checkpoint, as `init_from`.
        partially: as `init_from`.
        training: whether the run trains.

    Raises:
        CheckpointError: as `init_from`, or no run with this model goes on from the checkpoint.
    """
    if checkpoint is not None and Path(checkpoint).is_file():
        check_resumable(model, Path(checkpoint), training)
    pretrained = base_weights(model)  # before others take their place
    lines = []
    left_aside = model.language_model.left_aside
    if left_aside:
        modules = ", ".join(by_module(left_aside))
        lines = [f"not used, stored with the language model: {len(left_aside)} tensors: {modules}"]
        say(lines[0], end="\n\n")
    if checkpoint is None and path is None and not training and (fresh := untrained_groups(model)):
        lines.append(f"random weights, of no training: {', '.join(fresh)}")
        say(f"{lines[-1]}; ckpt_path or init_from names trained ones", end="\n\n")
    if path is None:
        return FirstWeights(pretrained, lines)
    taken_from = None
    if checkpoint is not None:
        report = [f"not read: ckpt_path {checkpoint} has the weights of this run"]
    else:
        taken = init_from(model, path, partially)
        taken_from = {"path": path, "sampled_sha256": taken.sampled_sha256}
        report = taken.lines()
    taken_lines = [f"init_from {path}", *(f"  {line}" for line in report)]
    say("\n".join(taken_lines), end="\n\n")
    return FirstWeights(pretrained, [*lines, *taken_lines], taken_from)


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
