"""Checks whether a run can resume from a checkpoint, before the model is built and before files are overwritten."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from components.model_files import not_finite
from datamodules.printable import say
from lightning_modules.training.checkpoint import (
    LAST,
    check_checkpoint,
    check_same_model,
    named_checkpoint,
    read_checkpoint,
)
from lightning_modules.training.distributed_checkpoint import CheckpointError
from lightning_modules.video_language import VideoLanguageModel

# Without these entries Lightning restores nothing, or no training.
_OF_A_RUN = ("pytorch-lightning_version",)
_OF_A_TRAINING = (*_OF_A_RUN, "optimizer_states", "lr_schedulers")
# Weights are checked elsewhere; in callbacks and settings, infinity may mean that there is no best value or bound yet.
_NOT_OF_THE_STATE = ("state_dict", "callbacks", "hyper_parameters", "datamodule_hyper_parameters")


def resolve_checkpoint(path: str | Path, experiment: Path, seed: int, folder: bool) -> str:
    """Return the checkpoint that `ckpt_path` names once it is checked; for `last`, print which one it is.

    Args:
        path: value of `ckpt_path`.
        experiment: folder of the experiment's runs.
        seed: seed of the run.
        folder: whether it must be a checkpoint folder of DeepSpeed.

    Raises:
        CheckpointError: there is none, or it cannot be read.
    """
    checkpoint = named_checkpoint(path, experiment, seed)
    if path == LAST:
        say(f"ckpt_path last is {checkpoint}")
    check_checkpoint(checkpoint, folder=folder)
    return str(checkpoint)


def check_resumable(model: VideoLanguageModel, path: Path, training: bool) -> None:
    """Compare a checkpoint that has passed `check_checkpoint` with the model that is to resume from it.

    Args:
        model: the configured model.
        path: checkpoint file or folder.
        training: whether the training resumes; otherwise only the weights are used.

    Raises:
        CheckpointError: it is of another model or trains other parts, holds weights only, or the state of its
            optimiser has NaN or infinite values.
    """
    content = read_checkpoint(path, "ckpt_path")
    check_same_model(content, model.component_names(), model.state_dict())
    instead = "init_from takes its weights"
    absent = [name for name in (_OF_A_TRAINING if training else _OF_A_RUN) if name not in content]
    if absent:
        raise CheckpointError(f"ckpt_path {path} has no {', '.join(absent)}, so no run goes on from it; {instead}")
    if not training:
        return
    ours, theirs = (_learning(model.stage.optimizer(model.groups()).param_groups), _learning(_groups(content)))
    if ours != theirs:
        raise CheckpointError(
            f"ckpt_path {path} is of a training of {theirs}, and model.stage trains {ours}; go on with the same, or "
            f"begin another training: {instead}"
        )
    bad = not_finite({name: entry for name, entry in content.items() if name not in _NOT_OF_THE_STATE})
    if bad is not None:
        raise CheckpointError(
            f"ckpt_path {path}: {bad} has NaN or infinite values, so its training cannot go on; {instead}"
        )


def _groups(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [group for state in content["optimizer_states"] for group in state["param_groups"]]


def _learning(groups: Iterable[Mapping[str, Any]]) -> str:
    """Return the names of an optimiser's parameter groups, each with its number of tensors."""
    return ", ".join(f"{group.get('name')} ({len(group.get('params', ()))} tensors)" for group in groups) or "nothing"
