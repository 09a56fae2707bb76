"""What the visual path of an experiment costs, from the configuration of one of its runs."""

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
        parameters: how many.
        gmac: billions of multiplications with addition.
        tokens: that the language model is given.
    """

    parameters: int
    gmac: float
    tokens: int


def measured_costs(experiments: Sequence[Experiment]) -> tuple[dict[str, Costs], list[str]]:
    """Return the costs of each experiment, and why there are none of others.

    Models are built without memory for their weights; nothing is run or loaded.
    """
    found: dict[str, Costs] = {}
    problems = []
    for experiment in experiments:
        try:
            found[experiment.name] = _costs(experiment)
        except CommandLineError:
            problems.append(f"{experiment.name}: no costs: its configuration is not one of this version")
        except Exception as error:
            line = user_error(error)
            if line is None:
                raise
            problems.append(f"{experiment.name}: no costs: {line}")
    return found, problems


def _costs(experiment: Experiment) -> Costs:
    # Imported here: all else reads files and needs no model.
    from lightning_modules.costs.operations import count_operations
    from lightning_modules.costs.resolved import resolve_as_given
    from lightning_modules.costs.visual_path import visual_path

    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler would say on stderr that there is no GPU
    config = experiment.runs[0].config
    # The rest of a test by itself is not that of a training.
    with NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        yaml.safe_dump({part: config.get(part) for part in ("model", "data")}, file)
        file.flush()
        resolved = resolve_as_given([file.name])
    operations = count_operations(*visual_path(resolved))["visual"]
    return Costs(operations.parameters, operations.gmac, operations.tokens)
