"""Initial weights of a run, such as those of the stage before.

Unlike `ckpt_path`, which resumes a run with its optimiser and counters, `init_from` loads weights only.
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
from components.stored_weights import overwrite
from datamodules.printable import say
from lightning_modules.runs.folder import is_checkpoint
from lightning_modules.training.checkpoint import (
    changed_components,
    check_checkpoint,
    read_checkpoint,
    tensor_differences,
    weights_digest,
)
from lightning_modules.training.distributed_checkpoint import CheckpointError
from lightning_modules.training.provenance import base_weights, untrained_groups
from lightning_modules.training.resume import check_resumable
from lightning_modules.video_language import VideoLanguageModel


@dataclass(frozen=True)
class InitReport:
    """Names of all tensors of the file and the model, by what was done with them.

    Attributes:
        loaded: tensors copied from the file.
        base: frozen tensors that the file leaves out, since the same pretrained part has them.
        fresh: tensors of the model that the file does not have in this shape; they stay as initialised.
        ignored: tensors of the file that the model does not have in this shape.
        sampled_sha256: hash of samples of all tensors in the file.
    """

    loaded: tuple[str, ...]
    base: tuple[str, ...]
    fresh: tuple[str, ...]
    ignored: tuple[str, ...]
    sampled_sha256: str

    def lines(self) -> list[str]:
        """Return one line per kind, with the modules that the tensors belong to."""
        kinds = {"loaded": self.loaded, "fresh": self.fresh, "ignored": self.ignored}
        if self.base:
            kinds["as pretrained"] = self.base
        return [
            f"{kind}: {len(names)} tensors{': ' if names else ''}{', '.join(by_module(names))}"
            for kind, names in kinds.items()
        ]


@dataclass(frozen=True)
class FirstWeights:
    """Initial weights of a run.

    Attributes:
        pretrained: part of the model -> source of its pretrained weights, and a hash of samples of them.
        lines: report on weights that were loaded from another run, not used, or are random.
        init_from: path of the file that weights were loaded from, and a hash of samples of it; None without one.
    """

    pretrained: Mapping[str, Any]
    lines: list[str]
    init_from: Mapping[str, Any] | None = None


def begin(
    model: VideoLanguageModel, checkpoint: str | None, path: str | None, partially: bool, training: bool
) -> FirstWeights:
    """Load the initial weights of a run into its model, and print which they are.

    A checkpoint to resume from is only checked here, before config.yaml is overwritten; the Trainer loads it.

    Args:
        model: the newly built model.
        checkpoint: `ckpt_path`, which the run resumes from.
        path: as for `init_from`; None to load nothing.
        partially: as for `init_from`.
        training: whether the run trains.

    Raises:
        CheckpointError: as for `init_from`, or this model cannot resume from the checkpoint.
    """
    if checkpoint is not None and is_checkpoint(Path(checkpoint)):
        check_resumable(model, Path(checkpoint), training)
    pretrained = base_weights(model)  # before others replace them
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
    source = None
    if checkpoint is not None:
        report = [f"not read: ckpt_path {checkpoint} has the weights of this run"]
    else:
        loaded = init_from(model, path, partially)
        source = {"path": path, "sampled_sha256": loaded.sampled_sha256}
        report = loaded.lines()
    report_lines = [f"init_from {path}", *(f"  {line}" for line in report)]
    say("\n".join(report_lines), end="\n\n")
    return FirstWeights(pretrained, [*lines, *report_lines], source)


def by_module(names: Iterable[str], depth: int = 2) -> list[str]:
    """Return the modules that tensors belong to, each with its number of them: `encoder.fusion (5)`."""
    owners = sorted(".".join(name.split(".")[:depth]) for name in names)
    return [f"{owner} ({len(list(group))})" for owner, group in groupby(owners)]


def init_from(model: VideoLanguageModel, path: str | Path, partially: bool = False) -> InitReport:
    """Copy the weights of a checkpoint of this project into `model`.

    Args:
        model: the assembled model.
        path: checkpoint of another run, or a safetensors file with the tensors of some groups of the model
            (`encoder`, `projector`, ...; a pretrained tower is a group of its own). Groups that it lacks stay as they
            are; tensors for groups that have none here, such as `NoDistillation`, are ignored.
        partially: whether to load only the tensors that fit by name and shape, also from another variant.

    Raises:
        CheckpointError: not a checkpoint of this project, damaged, or with non-finite weights; nothing in it fits; or,
            unless `partially`, its components, or the names or shapes of its tensors, differ from the model's.
    """
    ours = model.state_dict(keep_vars=True)
    base: set[str] = set()
    if Path(path).suffix == ".safetensors":
        theirs = _safetensors(Path(path))
        digest = weights_digest(theirs)
        # The counters of batch normalisation may be missing, since no computation uses them.
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
    matched = {*loaded, *base}
    report = InitReport(
        tuple(loaded), tuple(base), tuple(sorted(ours.keys() - matched)), tuple(sorted(theirs.keys() - matched)), digest
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
            overwrite(ours[name], theirs[name])
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
    """Return the tensors of a checkpoint, the names of those that it leaves to pretrained parts, and its digest."""
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
