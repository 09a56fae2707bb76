"""Costs of an experiment's visual path, from the configuration of one of its runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from tempfile import NamedTemporaryFile

import yaml

from ablation.comparing.experiment import Experiment
from lightning_modules.config.user_errors import CommandLineError, user_error


@dataclass(frozen=True)
class Costs:
    """Costs of encoder and projector for one square clip, as `video-panda profile` counts them.

    Attributes:
        parameters: number of parameters.
        gmac: billions of multiply-accumulate operations.
        tokens: number of visual tokens for the language model.
    """

    parameters: int
    gmac: float
    tokens: int


def measured_costs(experiments: Sequence[Experiment]) -> tuple[dict[str, Costs], list[str]]:
    """Return the costs by experiment, and a line for each experiment without costs that says why.

    Models are built without memory for their weights; nothing is run or loaded.
    """
    costs: dict[str, Costs] = {}
    problems = []
    for experiment in experiments:
        try:
            costs[experiment.name] = _costs(experiment)
        except CommandLineError:
            problems.append(f"{experiment.name}: no costs: its configuration is not one of this version")
        except Exception as error:
            line = user_error(error)
            if line is None:
                raise
            problems.append(f"{experiment.name}: no costs: {line}")
    return costs, problems


def _costs(experiment: Experiment) -> Costs:
    # Imported here, since everything else only reads files and must start without torch.
    from lightning_modules.costs.operations import count_operations
    from lightning_modules.costs.visual_path import visual_path
    from lightning_modules.resolve import resolve_files

    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler would say on stderr that there is no GPU
    config = experiment.runs[0].config
    # A test by itself lacks the other settings of a training.
    with NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        yaml.safe_dump({part: config.get(part) for part in ("model", "data")}, file)
        file.flush()
        parsed = resolve_files([file.name])
    operations = count_operations(*visual_path(parsed))["visual"]
    return Costs(operations.parameters, operations.gmac, operations.tokens)
