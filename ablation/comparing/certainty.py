"""How sure a score, and the difference of two on the same questions, is: over questions, and over seeds where known.

A score is a mean over questions and over trainings that differ in their seed only. Both are taken as drawn at random:
videos with their questions, which go together, and seeds. Their shares in the variance of a mean over both are those of
the crossed design (Searle, Casella and McCulloch, Variance Components, 1992, chapter 4; Brennan, Generalizability
Theory, 2001, chapter 4):

- videos: the variance between videos of what each adds to the mean, after averaging over seeds. It is the
  cluster-robust variance (Liang and Zeger, Biometrika 73, 1986) with the factor G / (G - 1) for G videos, and holds the
  chance of single answers too. A difference is taken within each video, so that questions hard for both runs do not
  widen it.
- seeds: the variance between the means of seeds, less what single answers add to it, which is in the first already;
  never below zero. In a table, it is moderated over the rows (`moderation`); of a pair by itself, it is that of its own
  seeds. Trainings of two experiments are taken as independent, also with the same seed.

Degrees of freedom are Satterthwaite's (Biometrics Bulletin 2, 1946), so that two or three seeds give the wide intervals
that they deserve; parts that rows share have no more of them than all seeds of the table have. Where an experiment has
one seed, nothing is known of seeds, and all is over questions only.

To the variance of a difference, two questions about videos of their own are added, one of which differs, half a
question each way: what Agresti and Min (Statistics in Medicine 24, 2005) add to paired answers, so that an interval has
a width even where two runs agree everywhere.

Assumed: videos that are independent of each other, and means of seeds that are about normally distributed, or split as
`moderation` has it.

In simulated worlds with a known truth (tests/ablation/comparing/simulated.py: 10 to 250 videos of 8 questions, or 2000
of one; 1 to 5 seeds), the interval of a difference of two rows by themselves has the truth in it in 94.7 to 98.6 of 100
cases, and p is at most 0.05 without any effect in 1.5 to 5.3; the interval of a score covers 93 to 98 of 100, but 89 to
93 where two or three seeds differ by much more than chance among questions. docs/compare.md has the tables, of whole
tables with moderated variances too (simulated_tables.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ablation.comparing.answers import Answers
from ablation.comparing.moderation import ALONE, SeedPrior
from lightning_modules.scoring.interval import ROUNDING, Interval, wilson

CERTAIN = 0.975  # two-sided 95 %
GRID = 2**15  # steps that all differences together have when they are no whole numbers
NOTHING = 1e-9  # what rounding may leave of a difference of such marks that is zero


@dataclass(frozen=True)
class Variance:
    """What the variance of a mean, or of a difference of means, consists of.

    Attributes:
        videos: from questions, with `videos_freedom` degrees of freedom.
        seeds: from trainings beyond that; 0 where nothing is known of it.
        seeds_parts: per experiment, the variance between seeds as seen or moderated, and its degrees of freedom.
        seeds_most: degrees of freedom that all seeds of a table have together.
    """

    videos: float
    videos_freedom: int
    seeds: float
    seeds_parts: tuple[tuple[float, float], ...]
    seeds_most: float = math.inf

    @property
    def total(self) -> float:
        """The whole."""
        return self.videos + self.seeds

    @property
    def freedom(self) -> float:
        """Degrees of freedom by Satterthwaite; not fewer than the smallest of its parts."""
        of_videos = self.videos, float(max(1, self.videos_freedom))
        parts = [part for part in (of_videos, *self.seeds_parts) if part[0] > 0] or [of_videos, *self.seeds_parts]
        # Moderated variances of two rows are not independent of each other.
        seeds = sum(part for part, _ in self.seeds_parts) ** 2 / self.seeds_most
        spread = of_videos[0] ** 2 / of_videos[1] + max(seeds, sum(part**2 / free for part, free in self.seeds_parts))
        least = min(freedom for _, freedom in parts)
        return max(least, self.total**2 / spread) if spread > 0 else least


@dataclass(frozen=True)
class Estimate:
    """A score, or a difference of scores.

    Attributes:
        interval: value and bounds, 95 %.
        variance: that the bounds are from.
        p: of the test that a difference is zero; 1 for a score.
        over_seeds: whether the bounds are over seeds too.
        changed: videos with a difference; 0 for a score.
    """

    interval: Interval
    variance: Variance
    p: float
    over_seeds: bool
    changed: int


def score(answers: Answers, prior: SeedPrior = ALONE) -> Estimate:
    """Return the share of all marks, over questions and seeds.

    Wilson's interval for as many independent answers as would have this variance; where all are right or all wrong, for
    as many as there are videos. Of log-likelihoods, Student's.

    Args:
        answers: of each seed.
        prior: what the table that the score is in says of seeds.

    Raises:
        ValueError: no answers.
    """
    mean = float(_checked(answers).means().mean())
    variance = _variance(answers.parts().mean(axis=0), [answers], prior, answers.widest)
    if math.isinf(answers.widest):
        return Estimate(_student(mean, variance, *answers.bounds), variance, 1.0, answers.seeds > 1, 0)
    videos = variance.videos_freedom + 1
    if 0 < mean < 1 and variance.total > ROUNDING:
        worth, freedom = min(answers.marks.size * answers.full, mean * (1 - mean) / variance.total), variance.freedom
    else:
        worth, freedom = videos, max(1, videos - 1)
    interval = wilson(mean, worth, _quantile(freedom))
    return Estimate(interval, variance, 1.0, answers.seeds > 1, 0)


def difference(ours: Answers, base: Answers, prior: SeedPrior = ALONE, certain: float = CERTAIN) -> Estimate:
    """Return the difference of two shares of all marks over the same questions, in the same order.

    Tested over questions only, where an experiment has one seed, by `randomisation_p`; else by t, whose p is never
    below the least that the former could give for as many videos with a difference.

    Args:
        ours: answers of an experiment.
        base: of the baseline.
        prior: what the table that both are in says of seeds.
        certain: quantile of its bounds.

    Raises:
        ValueError: no answers, or not to the same questions.
    """
    if _checked(ours).marks.shape[1] != _checked(base).marks.shape[1]:
        raise ValueError(f"{ours.marks.shape[1]} answers cannot be paired with {base.marks.shape[1]}")
    value = float(ours.means().mean() - base.means().mean())
    asked = ours.seeds * ours.full, base.seeds * base.full
    gaps = asked[1] * ours.sums().sum(axis=0) - asked[0] * base.sums().sum(axis=0)
    over_seeds = min(ours.seeds, base.seeds) > 1
    parts = ours.parts().mean(axis=0) - base.parts().mean(axis=0)
    rows = [ours, base] if over_seeds else []
    variance = _with_two_questions(_variance(parts, rows, prior, ours.widest), ours)
    interval = _student(value, variance, -ours.widest, ours.widest, certain)
    changed = int(np.count_nonzero(np.abs(gaps) > NOTHING))
    if not over_seeds:
        p = randomisation_p(gaps.tolist() if ours.whole and base.whole else on_grid(gaps.tolist()))
    elif changed:
        p = max(_two_sided(value / math.sqrt(variance.total), variance.freedom), 2.0 ** (1 - changed))
    else:
        p = 1.0
    return Estimate(interval, variance, p, over_seeds, changed)


def over_seeds_only(ours: Sequence[float], base: Sequence[float], certain: float = CERTAIN) -> Estimate | None:
    """Return the difference of the means of a figure that each seed has one of, by Welch (Biometrika 34, 1947).

    Args:
        ours: one value per seed.
        base: those of the baseline; none for the mean of `ours` itself.
        certain: quantile of the bounds.

    Returns:
        None where a side has one seed: nothing is known of its spread.
    """
    sides = [np.asarray(side, float) for side in (ours, base) if len(side)]
    if min(map(len, sides)) < 2:
        return None
    value = float(sides[0].mean() - (sides[1].mean() if len(sides) > 1 else 0.0))
    parts = tuple((float(side.var(ddof=1) / len(side)), len(side) - 1) for side in sides)
    variance = Variance(0.0, 1, sum(part for part, _ in parts), parts)
    half = _quantile(variance.freedom, certain) * math.sqrt(variance.total)
    # Of equal values, a variance of zero is no estimate.
    p = _two_sided(value / math.sqrt(variance.total), variance.freedom) if variance.total > 0 else 1.0
    return Estimate(Interval(value, value - half, value + half), variance, p, True, 0)


def _student(value: float, variance: Variance, low: float, high: float, certain: float = CERTAIN) -> Interval:
    half = _quantile(variance.freedom, certain) * math.sqrt(variance.total)
    return Interval(value, max(low, value - half), min(high, value + half))


def _checked(answers: Answers) -> Answers:
    if not answers.marks.size:
        raise ValueError("a score needs at least one answer")
    return answers


def _variance(parts: NDArray[np.float64], rows: Sequence[Answers], prior: SeedPrior, widest: float) -> Variance:
    """Return the variance between videos of `parts`, and between the seeds of all rows."""
    videos = len(parts)
    between = [_between_seeds(row, prior) for row in rows if row.seeds > 1]
    return Variance(
        # Of one video nothing is known: the largest variance there is.
        float(videos / (videos - 1) * (parts**2).sum()) if videos > 1 else widest**2,
        videos - 1,
        sum(max(0.0, seen - single) for seen, single, _ in between),
        tuple((seen, freedom) for seen, _, freedom in between),
        prior.most,
    )


def _between_seeds(answers: Answers, prior: SeedPrior) -> tuple[float, float, float]:
    """Return the variance of the mean from seeds, what single answers add to it, and degrees of freedom."""
    seen, freedom = prior.moderated(answers)
    return seen / answers.seeds, answers.chance(), freedom


def _with_two_questions(variance: Variance, answers: Answers) -> Variance:
    if math.isinf(answers.widest):  # numbers that never all agree
        return variance
    questions = answers.marks.shape[1]
    shrunk = variance.videos * (questions / (questions + 2)) ** 2 + 1 / (questions + 2) ** 2
    return replace(variance, videos=shrunk)


def _quantile(freedom: float, certain: float = CERTAIN) -> float:
    """Return the t value that 95 % of all lie within, to either side of zero."""
    return float(stats.t.ppf(certain, freedom))


def _two_sided(t: float, freedom: float) -> float:
    """Return how often a t value is at least this far from zero by chance."""
    return 2 * float(stats.t.sf(abs(t), freedom))


def randomisation_p(differences: Sequence[int]) -> float:
    """Return how often chance alone makes the sum of differences this large, in either direction.

    Fisher's randomisation test of pairs (The Design of Experiments, 1935, section 21): were the two runs equally good,
    each video's difference could as well have had the other sign, for all its questions at once, since answers about
    one video go together. All signs are counted, none drawn. With one question per video this is McNemar's exact test.

    It treats videos as drawn independently of each other, and two trainings as the only ones.

    Args:
        differences: per video, right answers of the one run minus those of the other.
    """
    sizes = [abs(each) for each in differences if each]
    if not sizes:
        return 1.0
    unit = math.gcd(*sizes)
    sizes = [size // unit for size in sizes]
    total = sum(sizes)
    chances = np.zeros(2 * total + 1)  # of each sum from -total to total
    chances[total] = 1.0
    for size in sizes:
        moved = np.zeros_like(chances)
        moved[size:] += chances[:-size]
        moved[:-size] += chances[size:]
        chances = moved / 2
    seen = abs(sum(differences)) // unit
    return min(1.0, 2 * float(chances[total + seen :].sum())) if seen else 1.0


def on_grid(differences: Sequence[float]) -> list[int]:
    """Return differences that are no whole numbers for `randomisation_p`: in steps of which all together have `GRID`.

    That moves each of them by at most half a step, and p by less than a hundredth of itself.
    """
    step = math.fsum(map(abs, differences)) / GRID
    return [round(each / step) for each in differences] if step else [0] * len(differences)


def holm(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return corrected p values: that any test with no effect is at most 0.05 has a chance of at most 0.05.

    Holm's step-down correction with weights (Scandinavian Journal of Statistics 6, 1979, section 4): it asks nothing of
    how the tests depend on each other.

    Args:
        values: p values of each test by itself.
        weights: share of the 5 % that each test gets, above zero.
    """
    corrected = [1.0] * len(values)
    largest, left = 0.0, sum(weights)
    for index in sorted(range(len(values)), key=lambda index: values[index] / weights[index]):
        largest = max(largest, min(1.0, values[index] * left / weights[index]))
        corrected[index] = largest
        left -= weights[index]
    return corrected
