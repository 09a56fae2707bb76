"""Learning curves of an experiment from the metrics of its runs: the mean over seeds, and how far they lie apart."""

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
VALIDATION = (f"val/{MEAN}", "val/loss")  # the first that there is
POINTS = 100  # of a curve at most; more cannot be told apart


@dataclass(frozen=True)
class Point:
    """A stretch of steps.

    Attributes:
        step: mean of its steps.
        mean: over the seeds that have a value there.
        low: least of them.
        high: largest.
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
        wanted = steps[start : start + stretch]
        means = [
            math.fsum(there) / len(there)
            for seed in seeds
            if (there := [seed[step] for step in wanted if step in seed])
        ]
        points.append(Point(math.fsum(wanted) / len(wanted), math.fsum(means) / len(means), min(means), max(means)))
    return points


def validation_figure(experiments: Sequence[Experiment]) -> str:
    """Return which figure of the validations is shown: the first of `VALIDATION` that a run has logged."""
    found = (name for name in VALIDATION for each in experiments for run in each.runs if read_curve(run.folder, name))
    return next(found, VALIDATION[0])


def area(values: Mapping[int, float]) -> float:
    """Return the mean of a figure over the steps between its first and last value, straight lines between values.

    Args:
        values: step -> value; one at least.
    """
    points = sorted(values.items())
    if len(points) == 1:
        return points[0][1]
    parts = ((after - before) * (ours + next_one) / 2 for (before, ours), (after, next_one) in pairwise(points))
    return math.fsum(parts) / (points[-1][0] - points[0][0])


def read_curve(folder: Path, name: str) -> dict[int, float]:
    """Return step -> value of a figure, from `metrics.csv` and, of a run that went on, `metrics.1.csv` ... before it.

    Values that are no numbers are left out, as are files that cannot be read: curves are looked at, not tested.
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
