"""Runs of one experiment, a row of the comparison: its seeds, and what its configuration is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ablation.comparing.answer_rows import Question
from ablation.comparing.answers import Answers
from ablation.comparing.run import Run, Stages
from ablation.stage_record import IGNORED
from lightning_modules.config.difference import difference, flat
from lightning_modules.scoring.metrics import Metric

Attempts = Literal["latest", "average"]
_EARLIER = "earlier stages"
# Where data lie and what is shown on the way decide nothing either.
_NOT_COMPARED = (*IGNORED, "data.init_args.root", "data.init_args.seed", "trainer.log_every_n_steps")


@dataclass(frozen=True)
class Experiment:
    """Finished runs of one experiment.

    Attributes:
        name: of the experiment.
        seeds: seed -> its runs: one, or several attempts that are averaged.
    """

    name: str
    seeds: Mapping[int, Sequence[Run]]

    @property
    def runs(self) -> list[Run]:
        """All of them."""
        return [run for runs in self.seeds.values() for run in runs]

    @property
    def config(self) -> dict[str, Any]:
        """What is compared of its configuration: that of its first run."""
        return compared_config(self.runs[0])

    def answers(self, questions: Sequence[Question]) -> Answers:
        """Return the answers to `questions`, which all runs have."""
        times = math.lcm(*map(len, self.seeds.values()))
        marks = [
            [sum(run.marks[question] for run in runs) * times // len(runs) for question in questions]
            for runs in self.seeds.values()
        ]
        return Answers(np.array(marks), _videos(questions), times * self.runs[0].answered.full)

    def values(self, metric: Metric, questions: Sequence[Question]) -> Answers:
        """Return what answers to `questions`, which have a value in all runs, are worth; the mean over attempts."""
        values = [[run.answered.values(metric) for run in runs] for runs in self.seeds.values()]
        marks = [
            [math.fsum(of_run[question] for of_run in attempts) / len(attempts) for question in questions]
            for attempts in values
        ]
        return Answers(np.array(marks), _videos(questions), bounds=metric.bounds)

    def figures(self, name: str) -> list[float]:
        """Return a final figure of each seed, the mean over attempts; only where it is a number."""
        found = [[run.figures.get(name, math.nan) for run in runs] for runs in self.seeds.values()]
        means = [math.fsum(values) / len(values) for values in found]
        return [mean for mean in means if math.isfinite(mean)]


def _videos(questions: Sequence[Question]) -> NDArray[np.intp]:
    """Return the number of the video of each question."""
    numbers: NDArray[np.intp] = np.unique([question.cluster for question in questions], return_inverse=True)[1]
    return numbers


def experiments(runs: Sequence[Run], attempts: Attempts | None) -> list[Experiment]:
    """Return the experiments in the order of their first runs, their seeds in order.

    Raises:
        ValueError: two runs of one experiment and seed, and nothing says which counts; or in two folders.
    """
    grouped: dict[str, dict[int, list[Run]]] = {}
    for run in runs:
        grouped.setdefault(run.experiment, {}).setdefault(run.seed, []).append(run)
    twice = [each for seeds in grouped.values() for each in seeds.values() if len(each) > 1]
    for each in twice:
        folders = dict.fromkeys(run.folder.parent for run in each)
        if len({folder.resolve() for folder in folders}) > 1:
            raise ValueError(
                f"{each[0].experiment}, seed {each[0].seed} is in {' and in '.join(map(str, folders))}, which would be"
                " taken for one experiment: give one of them, or rename a folder"
            )
    if twice and attempts is None:
        named = "; ".join(", ".join(str(run.folder) for run in each) for each in twice[:3])
        raise ValueError(
            f"{len(twice)} experiments and seeds have several finished runs ({named}): give --attempts latest or"
            " --attempts average, or name the run folders to compare"
        )
    for seeds in grouped.values():
        for seed, several in seeds.items():
            ordered = sorted(several, key=lambda run: run.attempt)
            seeds[seed] = ordered[-1:] if attempts == "latest" else ordered
    return [Experiment(name, dict(sorted(seeds.items()))) for name, seeds in grouped.items()]


def compared_config(run: Run) -> dict[str, Any]:
    """Return model, data and trainer of a run and its earlier stages, without what decides nothing of its answers."""
    return compared_settings(run.config, run.earlier_stages)


def compared_settings(config: Mapping[str, Any], earlier: Stages) -> dict[str, Any]:
    """Return the same of a configuration, and of those of earlier stages; None of one that is gone."""
    return {**_parts(config), _EARLIER: {stage: config and _parts(config) for stage, config in earlier.items()}}


def changes(ours: Mapping[str, Any], base: Mapping[str, Any]) -> list[str]:
    """Return one line per setting that differs, as `key: there -> here`, without its class's whole path."""
    last, other = ({key: value for key, value in each.items() if key != _EARLIER} for each in (ours, base))
    lines = [*difference(last, other), *_stage_changes(ours[_EARLIER], base[_EARLIER])]
    return [line.replace("DamagedVideo.", "") for line in lines]


def _stage_changes(ours: Stages, base: Stages) -> list[str]:
    """Return one line per setting of an earlier stage that differs, and one if the stages are others."""
    chains = [" > ".join(reversed([*stages])) or "none" for stages in (base, ours)]
    lines = [] if chains[0] == chains[1] else [f"earlier stages: {chains[0]} -> {chains[1]}"]
    for stage, config in ours.items():
        other = base.get(stage)
        if config is not None and other is not None:
            lines += [f"{stage}: {line}" for line in difference(config, other)]
    return lines


def _parts(config: Mapping[str, Any]) -> dict[str, Any]:
    return _without({part: config.get(part) or {} for part in ("model", "data", "trainer")}, "")


def choose_baseline(found: Sequence[Experiment], name: str | None) -> Experiment:
    """Return the experiment of this name, or the one that all others differ least from; the first of several such.

    Raises:
        ValueError: there is none of this name.
    """
    if name is not None:
        named = [each for each in found if each.name == name]
        if not named:
            raise ValueError(f"--baseline is {name!r}; there are {', '.join(each.name for each in found)}")
        return named[0]
    return found[middle([each.config for each in found])]


def middle(settings: Sequence[Mapping[str, Any]]) -> int:
    """Return the place of the settings that all others differ least from; the first of several such."""
    flats = [Counter(map(repr, flat(each).items())) for each in settings]
    distances = [sum((one - other).total() + (other - one).total() for other in flats) for one in flats]
    return distances.index(min(distances))


def _without(config: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {
        key: _without(value, f"{prefix}{key}.") if isinstance(value, Mapping) else value
        for key, value in config.items()
        if f"{prefix}{key}" not in _NOT_COMPARED
    }
