"""Learning curves of an experiment from the metrics of its runs: mean and range over seeds."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ablation.comparing.experiment import Experiment
from lightning_modules.runs.folder import metrics_files
from lightning_modules.scoring.metrics import MEAN

TRAINING = "train/loss"
VALIDATION = (f"val/{MEAN}", "val/loss")  # in order of preference
POINTS = 100  # maximum of a curve; more cannot be distinguished in a plot


@dataclass(frozen=True)
class Point:
    """A point of a curve, which summarises consecutive steps.

    Attributes:
        step: mean of the steps.
        mean: mean of the seeds with values at these steps.
        low: lowest of the seeds.
        high: highest of the seeds.
    """

    step: float
    mean: float
    low: float
    high: float


def curve(experiment: Experiment, name: str) -> list[Point]:
    """Return the curve of a figure; empty if no run has logged it."""
    seeds = [read_curve(run.folder, name) for run in experiment.runs]
    steps = sorted({step for seed in seeds for step in seed})
    stretch = math.ceil(len(steps) / POINTS)
    points = []
    for start in range(0, len(steps), max(1, stretch)):
        window = steps[start : start + stretch]
        means = [
            math.fsum(values) / len(values)
            for seed in seeds
            if (values := [seed[step] for step in window if step in seed])
        ]
        points.append(Point(math.fsum(window) / len(window), math.fsum(means) / len(means), min(means), max(means)))
    return points


def validation_figure(experiments: Sequence[Experiment]) -> str:
    """Return the name of the validation figure to show: the first of `VALIDATION` that a run has logged."""
    logged = (name for name in VALIDATION for row in experiments for run in row.runs if read_curve(run.folder, name))
    return next(logged, VALIDATION[0])


def area(values: Mapping[int, float]) -> float:
    """Return the mean of a figure over the steps between its first and last value, by linear interpolation.

    Args:
        values: values by step; at least one.
    """
    points = sorted(values.items())
    if len(points) == 1:
        return points[0][1]
    parts = ((after - before) * (ours + next_one) / 2 for (before, ours), (after, next_one) in pairwise(points))
    return math.fsum(parts) / (points[-1][0] - points[0][0])


def read_curve(folder: Path, name: str) -> dict[int, float]:
    """Return the values of a figure by step, from `metrics.csv` and, for a resumed run, `metrics.1.csv` ... before it.

    Values that are not numbers are skipped without an error, since no test is based on curves alone.
    """
    values: dict[int, float] = {}
    for file in metrics_files(folder):
        with file.open(encoding="utf-8", errors="replace", newline="") as lines:
            for row in csv.DictReader(lines):
                try:
                    step, value = int(row["step"]), float(row[name])
                except (KeyError, TypeError, ValueError):
                    continue
                if math.isfinite(value):
                    values[step] = value
    return values
