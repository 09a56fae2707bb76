"""Comparison of the same runs by further metrics: log-likelihood, and those that runs are configured with.

Exact match of a family jumps when the family is learnt, which in some seeds may not happen before the training ends;
the log-likelihood of the right answer improves before the jump, and continues to improve after it. A further metric is
compared with the same methods over the same questions, and also as the mean over a training's validations, the area
under its learning curve. The tests of a further metric are corrected among themselves, with a level of 5 % of their
own: exact match alone decides, and its p values do not depend on further metrics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ablation.comparing.certainty import Estimate, difference, holm, over_seeds_only, score
from ablation.comparing.comparison import Cell, score_groups
from ablation.comparing.curves import area, read_curve
from ablation.comparing.experiment import Experiment
from ablation.comparing.obstacles import common_questions
from ablation.comparing.sequential import ONCE, Looks
from ablation.comparing.verdict import Verdict, Word, verdict
from lightning_modules.scoring.metrics import LogLikelihood, Metric

CURVE = "learning curve"


@dataclass(frozen=True)
class MetricComparison:
    """A comparison of experiments by a further metric.

    Attributes:
        metric: metric of the answers.
        cells: cells by experiment and score, that of all questions first and `CURVE` last; without the scores that are
            not available for all runs of the experiment.
        sizes: number of questions and of videos by score; not for the learning curve.
        tests: number of tests that p values are corrected for.
    """

    metric: Metric
    cells: Mapping[str, Mapping[str, Cell]] = field(default_factory=dict)
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    tests: int = 0

    def cell(self, experiment: str, name: str) -> Cell:
        """Return a score of an experiment; an empty cell if it has none."""
        return self.cells.get(experiment, {}).get(name, Cell(None, ()))

    @property
    def names(self) -> list[str]:
        """Names of the scores of any experiment; empty if nothing could be compared."""
        return list(dict.fromkeys(name for cells in self.cells.values() for name in cells))


def further_metrics(experiments: Sequence[Experiment], extra: Sequence[Metric] = ()) -> list[Metric]:
    """Return log-likelihood, the further metrics that runs are configured with, and `extra` ones; each name once."""
    configured = [metric for experiment in experiments for run in experiment.runs for metric in run.metrics]
    return [*{metric.name: metric for metric in (LogLikelihood(), *configured, *extra)}.values()]


def compare_metric(
    metric: Metric,
    experiments: Sequence[Experiment],
    baseline: Experiment,
    scores: Sequence[str] = (),
    looks: Looks = ONCE,
) -> MetricComparison:
    """Compare experiments by a further metric, over the common questions with values in all measured runs.

    Args:
        metric: metric of the answers.
        experiments: experiments that `compare` has accepted.
        baseline: one of the experiments; unless all its runs have values, nothing is compared.
        scores: names of the scores to compare; empty for all.
        looks: looks at the tests.
    """
    common = common_questions(experiments)
    values = {row.name: [run.answered.values(metric) for run in row.runs] for row in experiments}
    measured = [row for row in experiments if all(values[row.name])]
    runs = [run for row in measured for run in values[row.name]]
    complete = np.array([bool(runs) and all(question in run for run in runs) for question in common])
    if baseline not in measured or not complete.any():
        return MetricComparison(metric)
    groups = {name: mask[complete] for name, mask in score_groups(common, scores).items() if mask[complete].any()}
    questions = [question for question, is_complete in zip(common, complete, strict=True) if is_complete]
    answers = {row.name: row.values(metric, questions) for row in measured}
    base, base_areas = answers[baseline.name], _areas(baseline, metric)
    sizes = {name: (int(mask.sum()), len(set(base.videos[mask].tolist()))) for name, mask in groups.items()}
    # The variance over one video is unknown, and that of log-likelihoods has no upper bound to use instead.
    clustered = {name for name, (_, videos) in sizes.items() if videos > 1}
    cells: dict[str, dict[str, Cell]] = {}
    for row in measured:
        is_base, ours, fewer = row is baseline, answers[row.name], min(len(row.seeds), len(baseline.seeds))
        quantile = looks.quantile(row.name, baseline.name, fewer)
        cells[row.name] = {
            name: Cell(
                score(ours.subset(mask)) if name in clustered else None,
                tuple(ours.subset(mask).means),
                None
                if is_base or name not in clustered
                else difference(ours.subset(mask), base.subset(mask), quantile=quantile),
            )
            for name, mask in groups.items()
        }
        if areas := _areas(row, metric):
            gap = None if is_base or not base_areas else over_seeds_only(areas, base_areas, quantile)
            cells[row.name][CURVE] = Cell(over_seeds_only(areas, ()), tuple(areas), gap)
    return _judged(metric, cells, sizes, baseline.name, looks)


def curve_of(metric: Metric) -> str:
    """Return the name of the logged figure with a metric's learning curve."""
    return f"val/{metric.name}/mean"


def _areas(experiment: Experiment, metric: Metric) -> list[float]:
    """Return the mean over the validations of each seed, averaged over attempts; empty if a run has no validations."""
    curves = [[read_curve(run.folder, curve_of(metric)) for run in runs] for runs in experiment.seeds.values()]
    if not all(curve for attempts in curves for curve in attempts):
        return []
    return [math.fsum(map(area, attempts)) / len(attempts) for attempts in curves]


def _judged(
    metric: Metric,
    cells: Mapping[str, Mapping[str, Cell]],
    sizes: Mapping[str, tuple[int, int]],
    baseline: str,
    looks: Looks,
) -> MetricComparison:
    """Correct p values for all tests, with half of the 5 % for the first score, and add verdicts."""
    overall = next(iter(sizes))
    tests: dict[tuple[str, str], Estimate] = {
        (experiment, name): cell.difference
        for experiment, scores in cells.items()
        for name, cell in scores.items()
        if cell.difference is not None
    }
    first = sum(name == overall for _, name in tests)
    rest = len(tests) - first
    half = 0.5 if rest else 1.0
    weights = [half / (first if name == overall else rest) for _, name in tests]
    counts = {name: max(len(cell.seeds) for cell in scores.values()) for name, scores in cells.items()}
    values = [
        looks.p(key, baseline, min(counts[key[0]], counts[baseline]), test.p, weight)
        for (key, test), weight in zip(tests.items(), weights, strict=True)
    ]
    corrected = dict(zip(tests, holm(values, weights), strict=True))

    # 0 for a unit without a smallest difference that matters: then none is ruled out.
    smallest = metric.unit.smallest / metric.unit.best

    def judged(key: tuple[str, str], cell: Cell) -> Cell:
        if key not in corrected:
            return cell
        return replace(
            cell,
            corrected=corrected[key],
            verdict=verdict(tests[key], corrected[key], smallest) or Verdict(Word.TOO_FEW),
        )

    return MetricComparison(
        metric,
        {
            experiment: {name: judged((experiment, name), cell) for name, cell in scores.items()}
            for experiment, scores in cells.items()
        },
        sizes,
        len(tests),
    )
