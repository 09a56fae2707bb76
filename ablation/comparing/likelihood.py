"""A second look at the same runs: how likely the right answer was among all that its question may have.

Exact match of a family jumps when the family is learnt, in some seeds before a training ends and in others not; the
log-likelihood of the right answer moves before that, and goes on when all is right. So it is compared beside exact
match, by the same methods over the same questions, and also as the mean over a training's validations: the area under
its learning curve. Its tests are corrected among themselves, with 5 % of their own: exact match is what is decided by,
and its p values are the same with it and without.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ablation.comparing.certainty import Estimate, difference, holm, over_seeds_only, score
from ablation.comparing.comparison import Cell, score_groups
from ablation.comparing.curves import LIKELIHOOD_CURVE, area, read_curve
from ablation.comparing.experiment import Experiment
from ablation.comparing.obstacles import common_questions
from ablation.comparing.sequential import ONCE, Looks
from ablation.comparing.verdict import Verdict, Word, verdict

CURVE = "learning curve"


@dataclass(frozen=True)
class Likelihoods:
    """Log-likelihoods of all experiments that have them, in nats.

    Attributes:
        cells: experiment -> score -> what it is: first that of all questions, and `CURVE` last. Missing is what not all
            of its runs have.
        sizes: score -> questions and videos that it is over; the learning curve's are others.
        tests: how many tests p values are corrected for.
    """

    cells: Mapping[str, Mapping[str, Cell]] = field(default_factory=dict)
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    tests: int = 0

    def cell(self, experiment: str, name: str) -> Cell:
        """Return a score of an experiment, without any value if it has none."""
        return self.cells.get(experiment, {}).get(name, Cell(None, ()))

    @property
    def names(self) -> list[str]:
        """All scores that any experiment has."""
        return list(dict.fromkeys(name for cells in self.cells.values() for name in cells))


def compare_likelihoods(
    experiments: Sequence[Experiment], baseline: Experiment, scores: Sequence[str] = (), looks: Looks = ONCE
) -> Likelihoods:
    """Compare experiments that `compare` has accepted, over those of their common questions that all know it of.

    Args:
        experiments: with their runs.
        baseline: one of them; where it has no log-likelihoods, nothing is compared.
        scores: names of the scores that are compared; all if none.
        looks: how often the tests are looked at.
    """
    common = common_questions(experiments)
    knowing = [each for each in experiments if all(run.answered.log_likelihoods for run in each.runs)]
    runs = [run.answered.log_likelihoods for each in knowing for run in each.runs]
    known = np.array([bool(runs) and all(question in run for run in runs) for question in common])
    if baseline not in knowing or not known.any():
        return Likelihoods()
    groups = {name: mask[known] for name, mask in score_groups(common, scores).items() if mask[known].any()}
    questions = [question for question, is_known in zip(common, known, strict=True) if is_known]
    answers = {each.name: each.log_likelihoods(questions) for each in knowing}
    base, base_areas = answers[baseline.name], _areas(baseline)
    sizes = {name: (int(mask.sum()), len(set(base.videos[mask].tolist()))) for name, mask in groups.items()}
    # Of one video no spread is known, and nats have no largest one to take instead.
    spread = {name for name, (_, videos) in sizes.items() if videos > 1}
    cells: dict[str, dict[str, Cell]] = {}
    for each in knowing:
        is_base, ours, fewer = each is baseline, answers[each.name], min(len(each.seeds), len(baseline.seeds))
        certain = looks.certain(each.name, baseline.name, fewer)
        cells[each.name] = {
            name: Cell(
                score(ours.of(mask)) if name in spread else None,
                tuple(ours.of(mask).means()),
                None if is_base or name not in spread else difference(ours.of(mask), base.of(mask), certain=certain),
            )
            for name, mask in groups.items()
        }
        if areas := _areas(each):
            gap = None if is_base or not base_areas else over_seeds_only(areas, base_areas, certain)
            cells[each.name][CURVE] = Cell(over_seeds_only(areas, ()), tuple(areas), gap)
    return _judged(cells, sizes, baseline.name, looks)


def _areas(experiment: Experiment) -> list[float]:
    """Return the mean over the validations of each seed, and over its attempts; nothing if a run has none."""
    curves = [[read_curve(run.folder, LIKELIHOOD_CURVE) for run in runs] for runs in experiment.seeds.values()]
    if not all(curve for several in curves for curve in several):
        return []
    return [math.fsum(map(area, several)) / len(several) for several in curves]


def _judged(
    cells: Mapping[str, Mapping[str, Cell]], sizes: Mapping[str, tuple[int, int]], baseline: str, looks: Looks
) -> Likelihoods:
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
        looks.p(key, baseline, min(counts[key[0]], counts[baseline]), each.p, weight)
        for (key, each), weight in zip(tests.items(), weights, strict=True)
    ]
    corrected = dict(zip(tests, holm(values, weights), strict=True))

    def said(key: tuple[str, str], cell: Cell) -> Cell:
        if key not in corrected:
            return cell
        # Nobody knows which difference matters, so that none is ruled out.
        found = verdict(tests[key], corrected[key], 0.0) or Verdict(Word.TOO_FEW)
        return replace(cell, corrected=corrected[key], verdict=found)

    return Likelihoods(
        {
            experiment: {name: said((experiment, name), cell) for name, cell in scores.items()}
            for experiment, scores in cells.items()
        },
        sizes,
        len(tests),
    )
