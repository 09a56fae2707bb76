"""Further looks at the same runs, by metrics beside the one that decides: log-likelihood, and those that runs name.

Exact match of a family jumps when the family is learnt, in some seeds before a training ends and in others not; the
log-likelihood of the right answer moves before that, and goes on when all is right. A further metric is compared beside
exact match, by the same methods over the same questions, and also as the mean over a training's validations: the area
under its learning curve. The tests of each are corrected among themselves, with 5 % of their own: exact match is what
is decided by, and its p values are the same with further metrics and without.
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
    """What a further metric says of all experiments that it knows something of.

    Attributes:
        metric: by which answers are measured.
        cells: experiment -> score -> cell: first that of all questions, and `CURVE` last. A score that not all runs of
            an experiment have is missing.
        sizes: score -> questions and videos that it is over; the learning curve has none.
        tests: how many tests p values are corrected for.
    """

    metric: Metric
    cells: Mapping[str, Mapping[str, Cell]] = field(default_factory=dict)
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    tests: int = 0

    def cell(self, experiment: str, name: str) -> Cell:
        """Return a score of an experiment, without any value if it has none."""
        return self.cells.get(experiment, {}).get(name, Cell(None, ()))

    @property
    def names(self) -> list[str]:
        """All scores that any experiment has; none if nothing could be compared."""
        return list(dict.fromkeys(name for cells in self.cells.values() for name in cells))


def further_metrics(experiments: Sequence[Experiment], asked: Sequence[Metric] = ()) -> list[Metric]:
    """Return log-likelihood, the further metrics that runs name, and those asked for; each name once."""
    named = [metric for experiment in experiments for run in experiment.runs for metric in run.metrics]
    return [*{metric.name: metric for metric in (LogLikelihood(), *named, *asked)}.values()]


def compare_metric(
    metric: Metric,
    experiments: Sequence[Experiment],
    baseline: Experiment,
    scores: Sequence[str] = (),
    looks: Looks = ONCE,
) -> MetricComparison:
    """Compare experiments that `compare` has accepted, over those of their common questions that have values in all.

    Args:
        metric: by which answers are measured.
        experiments: with their runs.
        baseline: one of them; if not all its runs have values, nothing is compared.
        scores: names of the scores that are compared; all if none.
        looks: how often the tests are looked at.
    """
    common = common_questions(experiments)
    values = {row.name: [run.answered.values(metric) for run in row.runs] for row in experiments}
    measured = [row for row in experiments if all(values[row.name])]
    runs = [of_run for row in measured for of_run in values[row.name]]
    known = np.array([bool(runs) and all(question in of_run for of_run in runs) for question in common])
    if baseline not in measured or not known.any():
        return MetricComparison(metric)
    groups = {name: mask[known] for name, mask in score_groups(common, scores).items() if mask[known].any()}
    questions = [question for question, is_known in zip(common, known, strict=True) if is_known]
    answers = {row.name: row.values(metric, questions) for row in measured}
    base, base_areas = answers[baseline.name], _areas(baseline, metric)
    sizes = {name: (int(mask.sum()), len(set(base.videos[mask].tolist()))) for name, mask in groups.items()}
    # The spread over one video is not known, and log-likelihoods have no largest one to take instead.
    spread = {name for name, (_, videos) in sizes.items() if videos > 1}
    cells: dict[str, dict[str, Cell]] = {}
    for row in measured:
        is_base, ours, fewer = row is baseline, answers[row.name], min(len(row.seeds), len(baseline.seeds))
        certain = looks.certain(row.name, baseline.name, fewer)
        cells[row.name] = {
            name: Cell(
                score(ours.of(mask)) if name in spread else None,
                tuple(ours.of(mask).means()),
                None if is_base or name not in spread else difference(ours.of(mask), base.of(mask), certain=certain),
            )
            for name, mask in groups.items()
        }
        if areas := _areas(row, metric):
            gap = None if is_base or not base_areas else over_seeds_only(areas, base_areas, certain)
            cells[row.name][CURVE] = Cell(over_seeds_only(areas, ()), tuple(areas), gap)
    return _judged(metric, cells, sizes, baseline.name, looks)


def curve_of(metric: Metric) -> str:
    """Return the name of the figure that is a metric's learning curve."""
    return f"val/{metric.name}/mean"


def _areas(experiment: Experiment, metric: Metric) -> list[float]:
    """Return the mean over the validations of each seed, and over its attempts; nothing if a run has none."""
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
    """Correct p values among all tests, of which the first score has half of the 5 %, and say what differs."""
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

    smallest = (
        metric.unit.smallest / metric.unit.best
    )  # 0 where nobody knows which difference matters: none is ruled out

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
