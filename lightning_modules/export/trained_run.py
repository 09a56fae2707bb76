"""A trained run, by its folder or one of its checkpoints, and its model in evaluation mode."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lightning_modules.config.chain import read_config
from lightning_modules.experiment_parser import ExperimentParser
from lightning_modules.runs.folder import CONFIG, LAST_CHECKPOINT, is_checkpoint
from lightning_modules.training.checkpoint import changed_components, check_checkpoint, read_checkpoint
from lightning_modules.training.distributed_checkpoint import CheckpointError
from lightning_modules.video_language import VideoLanguageModel

# Slots that are only needed for training, and what replaces them.
_TRAINING_ONLY = {"teacher": "NoTeacher", "distillation": "NoDistillation", "feature_cache": "NoFeatureCache"}


@dataclass(frozen=True)
class TrainedRun:
    """A run on disk.

    Attributes:
        folder: run folder.
        checkpoint: checkpoint with the weights.
        config: resolved configuration.
    """

    folder: Path
    checkpoint: Path
    config: dict[str, Any]

    def model_config(self) -> dict[str, Any]:
        """Return the configuration of the model without teacher and distillation, which only training needs."""
        model: dict[str, Any] = deepcopy(self.config["model"])
        return model | _TRAINING_ONLY


@dataclass(frozen=True)
class TrainedModel:
    """A model with the weights of a checkpoint.

    Attributes:
        model: model with the trained weights and those of its frozen base.
        head: tensors of the distillation by their names in the checkpoint.
        components: class in every slot, including those that are only needed for training.
        steps: number of optimiser steps of the training.
    """

    model: VideoLanguageModel
    head: dict[str, Tensor]
    components: dict[str, str]
    steps: int


def find_run(source: Path) -> TrainedRun:
    """Find the configuration and the checkpoint of a run.

    Args:
        source: run folder, for its `checkpoints/last.ckpt`, or a checkpoint in its `checkpoints`.

    Raises:
        ValueError: there is no such run, or its checkpoint or configuration is unusable.
    """
    checkpoint = source / LAST_CHECKPOINT if source.is_dir() and not is_checkpoint(source) else source
    check_checkpoint(checkpoint, key="checkpoint")
    folder = checkpoint.absolute().parent.parent
    config = read_config(folder / CONFIG)
    if "model" not in config or "data" not in config:
        raise CheckpointError(f"{folder / CONFIG} is no configuration of a run: it has no `model` or `data`")
    return TrainedRun(folder, checkpoint, config)


def model_parser() -> ExperimentParser:
    """Return a parser for the configuration of a model only."""
    parser = ExperimentParser()
    parser.add_lightning_class_args(VideoLanguageModel, "model")
    return parser


def load(run: TrainedRun) -> TrainedModel:
    """Build the model of a run with its trained weights.

    Raises:
        ValueError: the checkpoint differs from the run's configuration in components, sizes or frozen weights.
    """
    parser = model_parser()
    model = parser.instantiate_classes(parser.parse_object({"model": run.model_config()})).model
    content = read_checkpoint(run.checkpoint, "checkpoint")
    if "global_step" not in content:
        raise CheckpointError(f"checkpoint {run.checkpoint} has no global_step, so it is not one of a run")
    components: dict[str, str] = content["components"]
    ours = model.component_names() | {name: components.get(name) for name in _TRAINING_ONLY}
    changed = changed_components(ours, components, f"checkpoint {run.checkpoint}")
    if changed:
        raise CheckpointError(
            f"checkpoint {run.checkpoint} holds another variant of the model than {run.folder / CONFIG}: "
            f"{'; '.join(changed)} (there -> in the file)"
        )
    model.frozen_base.put_back(content, f"checkpoint {run.checkpoint}")
    weights: dict[str, Tensor] = content["state_dict"]
    head = {name: weights.pop(name) for name in list(weights) if name.startswith("distillation.")}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"checkpoint {run.checkpoint} does not have just the tensors that {run.folder / CONFIG} asks for: "
            f"{' '.join(str(error).split())}"
        ) from error
    return TrainedModel(model.eval(), head, components, int(content["global_step"]))
