"""An experiment in a comparison: the runs of its seeds, its settings, and the costs of its visual path."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from tempfile import NamedTemporaryFile
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from ablation.comparing.answer_rows import Question
from ablation.comparing.answers import Answers
from ablation.comparing.run import Run, Stages
from ablation.stage_record import IGNORED
from lightning_modules.config.difference import difference, flat
from lightning_modules.config.user_errors import CommandLineError, user_error
from lightning_modules.scoring.metrics import Metric

Attempts = Literal["latest", "average"]
_EARLIER = "earlier stages"
# The place of the data and the logging interval do not affect answers either.
_NOT_COMPARED = (*IGNORED, "data.init_args.root", "data.init_args.seed", "trainer.log_every_n_steps")


@dataclass(frozen=True)
class Experiment:
    """Finished runs of one experiment.

    Attributes:
        name: name of the experiment.
        seeds: runs by seed: one, or several attempts that are averaged.
    """

    name: str
    seeds: Mapping[int, Sequence[Run]]

    @property
    def runs(self) -> list[Run]:
        """Runs of all seeds."""
        return [run for runs in self.seeds.values() for run in runs]

    @property
    def config(self) -> dict[str, Any]:
        """Compared settings of its first run."""
        return compared_config(self.runs[0])

    def answers(self, questions: Sequence[Question]) -> Answers:
        """Return the marks of the answers to `questions`, which all runs must have; attempts are added up."""
        times = math.lcm(*map(len, self.seeds.values()))
        marks = [
            [sum(run.marks[question] for run in runs) * times // len(runs) for question in questions]
            for runs in self.seeds.values()
        ]
        return Answers(np.array(marks), _videos(questions), times * self.runs[0].answered.full)

    def values(self, metric: Metric, questions: Sequence[Question]) -> Answers:
        """Return the metric of the answers to `questions`, which all runs must have, as means over attempts."""
        values = [[run.answered.values(metric) for run in runs] for runs in self.seeds.values()]
        marks = [
            [math.fsum(of_run[question] for of_run in attempts) / len(attempts) for question in questions]
            for attempts in values
        ]
        return Answers(np.array(marks), _videos(questions), bounds=metric.bounds)

    def figures(self, name: str) -> list[float]:
        """Return a final figure of each seed, as means over attempts; seeds without a finite number are left out."""
        figures = [[run.figures.get(name, math.nan) for run in runs] for runs in self.seeds.values()]
        means = [math.fsum(values) / len(values) for values in figures]
        return [mean for mean in means if math.isfinite(mean)]


def _videos(questions: Sequence[Question]) -> NDArray[np.intp]:
    """Return the number of the video of each question."""
    numbers: NDArray[np.intp] = np.unique([question.cluster for question in questions], return_inverse=True)[1]
    return numbers


def experiments(runs: Sequence[Run], attempts: Attempts | None) -> list[Experiment]:
    """Group runs into experiments, in the order of their first runs, with sorted seeds.

    Raises:
        ValueError: an experiment and seed has several runs without `attempts`, or runs in different folders.
    """
    grouped: dict[str, dict[int, list[Run]]] = {}
    for run in runs:
        grouped.setdefault(run.experiment, {}).setdefault(run.seed, []).append(run)
    repeated = [same for seeds in grouped.values() for same in seeds.values() if len(same) > 1]
    for same in repeated:
        folders = dict.fromkeys(run.folder.parent for run in same)
        if len({folder.resolve() for folder in folders}) > 1:
            raise ValueError(
                f"{same[0].experiment}, seed {same[0].seed} is in {' and in '.join(map(str, folders))}, which would be"
                " taken for one experiment: give one of them, or rename a folder"
            )
    if repeated and attempts is None:
        examples = "; ".join(", ".join(str(run.folder) for run in same) for same in repeated[:3])
        raise ValueError(
            f"{len(repeated)} experiments and seeds have several finished runs ({examples}): give --attempts latest or"
            " --attempts average, or name the run folders to compare"
        )
    for seeds in grouped.values():
        for seed, several in seeds.items():
            ordered = sorted(several, key=lambda run: run.attempt)
            seeds[seed] = ordered[-1:] if attempts == "latest" else ordered
    return [Experiment(name, dict(sorted(seeds.items()))) for name, seeds in grouped.items()]


def compared_config(run: Run) -> dict[str, Any]:
    """Return the model, data and trainer settings of a run and its earlier stages that can affect its answers."""
    return compared_settings(run.config, run.earlier_stages)


def compared_settings(config: Mapping[str, Any], earlier: Stages) -> dict[str, Any]:
    """Return the settings that can affect answers, of a configuration and of the available earlier stages."""
    return {**_parts(config), _EARLIER: {stage: config and _parts(config) for stage, config in earlier.items()}}


def changes(ours: Mapping[str, Any], base: Mapping[str, Any]) -> list[str]:
    """Return one line per differing setting, as `key: base's value -> our value`, with short class names."""
    last, last_base = ({key: value for key, value in settings.items() if key != _EARLIER} for settings in (ours, base))
    lines = [*difference(last, last_base), *_stage_changes(ours[_EARLIER], base[_EARLIER])]
    return [line.replace("DamagedVideo.", "") for line in lines]


def _stage_changes(ours: Stages, base: Stages) -> list[str]:
    """Return one line per differing setting of an earlier stage, and one if the stages themselves differ."""
    chains = [" > ".join(reversed([*stages])) or "none" for stages in (base, ours)]
    lines = [] if chains[0] == chains[1] else [f"earlier stages: {chains[0]} -> {chains[1]}"]
    for stage, config in ours.items():
        other = base.get(stage)
        if config is not None and other is not None:
            lines += [f"{stage}: {line}" for line in difference(config, other)]
    return lines


def _parts(config: Mapping[str, Any]) -> dict[str, Any]:
    return _without({part: config.get(part) or {} for part in ("model", "data", "trainer")}, "")


def choose_baseline(candidates: Sequence[Experiment], name: str | None) -> Experiment:
    """Return the experiment of this name; without a name, the first of those that all others differ least from.

    Raises:
        ValueError: no experiment has this name.
    """
    if name is not None:
        matches = [experiment for experiment in candidates if experiment.name == name]
        if not matches:
            names = ", ".join(experiment.name for experiment in candidates)
            raise ValueError(f"--baseline is {name!r}; there are {names}")
        return matches[0]
    return candidates[middle([experiment.config for experiment in candidates])]


def middle(settings: Sequence[Mapping[str, Any]]) -> int:
    """Return the index of the settings that all others differ least from; the first of several such."""
    flats = [Counter(map(repr, flat(config).items())) for config in settings]
    distances = [sum((one - other).total() + (other - one).total() for other in flats) for one in flats]
    return distances.index(min(distances))


def _without(config: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {
        key: _without(value, f"{prefix}{key}.") if isinstance(value, Mapping) else value
        for key, value in config.items()
        if f"{prefix}{key}" not in _NOT_COMPARED
    }


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
