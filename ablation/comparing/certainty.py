"""Confidence intervals and p values of scores and their paired differences, over questions and over seeds.

A score is a mean over questions and over trainings that differ only in their seed. Videos (together with all their
questions) and seeds are both treated as random samples. The variance of the mean has a component for each, those of the
crossed design (Searle, Casella and McCulloch, Variance Components, 1992, chapter 4; Brennan, Generalizability Theory,
2001, chapter 4):

- videos: the variance between the contributions of videos to the mean, after averaging over seeds. It is the
  cluster-robust variance (Liang and Zeger, Biometrika 73, 1986) with the factor G / (G - 1) for G videos, and includes
  the randomness of single answers. A difference is taken within each video, so that questions that are hard for both
  runs do not widen it.
- seeds: the variance between the means of seeds, minus the part due to single answers, which the first component
  already includes; never below zero. In a table it is moderated over the rows (`moderation`); for a pair by itself only
  its own seeds are used. Trainings of two experiments are treated as independent even if they have the same seed.

Degrees of freedom are Satterthwaite's (Biometrics Bulletin 2, 1946), so that two or three seeds give suitably wide
intervals; components that rows share have at most the degrees of freedom of all seeds in the table. If an experiment
has one seed, the variance between seeds is unknown, and intervals and tests are over questions only.

The variance of a difference includes two additional questions about videos of their own, one of which differs, half a
question each way, as Agresti and Min (Statistics in Medicine 24, 2005) add to paired answers, so that an interval has a
width even if two runs agree everywhere.

Assumptions: videos are independent, and means of seeds are about normally distributed, or split as in `moderation`.

In simulations (tests/ablation/comparing/simulated.py: 10 to 250 videos of 8 questions, or 2000 of one; 1 to 5 seeds),
the interval of a difference of two rows by themselves covers the true value in 94.7 to 98.6 of 100 cases, and without
any effect p is at most 0.05 in 1.5 to 5.3; the interval of a score covers 93 to 98 of 100, but 89 to 93 if two or three
seeds differ by much more than the sampling of questions explains. docs/compare.md has these tables, and those of whole
tables with moderated variances (simulated_tables.py).
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

QUANTILE_95 = 0.975  # two-sided 95 %
GRID = 2**15  # steps in the sum of absolute differences, when these are not whole numbers
TOLERANCE = 1e-9  # rounding error of a zero difference between such marks


@dataclass(frozen=True)
class Variance:
    """The variance components of a mean, or of a difference of means.

    Attributes:
        videos: variance from questions.
        videos_freedom: degrees of freedom of `videos`.
        seeds: additional variance from trainings; 0 if it is unknown.
        seeds_parts: per experiment, the variance between seeds as observed or moderated, and its degrees of freedom.
        seeds_most: degrees of freedom of all seeds in the table together.
    """

    videos: float
    videos_freedom: int
    seeds: float
    seeds_parts: tuple[tuple[float, float], ...]
    seeds_most: float = math.inf

    @property
    def total(self) -> float:
        """Sum of the components."""
        return self.videos + self.seeds

    @property
    def freedom(self) -> float:
        """Satterthwaite's degrees of freedom; at least the smallest of the components'."""
        of_videos = self.videos, float(max(1, self.videos_freedom))
        parts = [part for part in (of_videos, *self.seeds_parts) if part[0] > 0] or [of_videos, *self.seeds_parts]
        # The moderated variances of two rows are dependent, so their sum has at most `seeds_most` degrees of freedom.
        seeds = sum(part for part, _ in self.seeds_parts) ** 2 / self.seeds_most
        spread = of_videos[0] ** 2 / of_videos[1] + max(seeds, sum(part**2 / free for part, free in self.seeds_parts))
        least = min(freedom for _, freedom in parts)
        return max(least, self.total**2 / spread) if spread > 0 else least


@dataclass(frozen=True)
class Estimate:
    """A score, or a difference of scores.

    Attributes:
        interval: value and its 95 % bounds.
        variance: variance components that the bounds are computed from.
        p: p value of the test that a difference is zero; 1 for a score.
        over_seeds: whether the bounds include the variance between seeds.
        changed: number of videos with a difference; 0 for a score.
    """

    interval: Interval
    variance: Variance
    p: float
    over_seeds: bool
    changed: int


def score(answers: Answers, prior: SeedPrior = ALONE) -> Estimate:
    """Return the mean score over questions and seeds.

    The interval is Wilson's for the number of independent answers with this variance, or for the number of videos if
    all answers are right or all wrong. Log-likelihoods have Student's interval.

    Args:
        answers: answers of all seeds.
        prior: prior of the variance between seeds, from the table with the score.

    Raises:
        ValueError: no answers.
    """
    mean = float(_checked(answers).means.mean())
    variance = _variance(answers.parts.mean(axis=0), [answers], prior, answers.widest)
    if math.isinf(answers.widest):
        return Estimate(_student(mean, variance, *answers.bounds), variance, 1.0, answers.seeds > 1, 0)
    videos = variance.videos_freedom + 1
    if 0 < mean < 1 and variance.total > ROUNDING:
        effective = min(answers.marks.size * answers.full, mean * (1 - mean) / variance.total)
        freedom = variance.freedom
    else:
        effective, freedom = videos, max(1, videos - 1)
    interval = wilson(mean, effective, _quantile(freedom))
    return Estimate(interval, variance, 1.0, answers.seeds > 1, 0)


def difference(ours: Answers, base: Answers, prior: SeedPrior = ALONE, quantile: float = QUANTILE_95) -> Estimate:
    """Return the difference of two mean scores over the same questions in the same order.

    If an experiment has one seed, it is tested over questions only, with `randomisation_p`. Otherwise it is tested with
    a t test, whose p is at least the smallest that `randomisation_p` can have for the same number of changed videos.

    Args:
        ours: answers of an experiment.
        base: answers of the baseline.
        prior: prior of the variance between seeds, from the table with both.
        quantile: quantile for the bounds.

    Raises:
        ValueError: there are no answers, or their numbers of questions differ.
    """
    if _checked(ours).marks.shape[1] != _checked(base).marks.shape[1]:
        raise ValueError(f"{ours.marks.shape[1]} answers cannot be paired with {base.marks.shape[1]}")
    value = float(ours.means.mean() - base.means.mean())
    full = ours.seeds * ours.full, base.seeds * base.full
    gaps = full[1] * ours.sums.sum(axis=0) - full[0] * base.sums.sum(axis=0)
    over_seeds = min(ours.seeds, base.seeds) > 1
    parts = ours.parts.mean(axis=0) - base.parts.mean(axis=0)
    rows = [ours, base] if over_seeds else []
    variance = _with_two_questions(_variance(parts, rows, prior, ours.widest), ours)
    interval = _student(value, variance, -ours.widest, ours.widest, quantile)
    changed = int(np.count_nonzero(np.abs(gaps) > TOLERANCE))
    if not over_seeds:
        p = randomisation_p(gaps.tolist() if ours.whole and base.whole else on_grid(gaps.tolist()))
    elif changed:
        p = max(_two_sided(value / math.sqrt(variance.total), variance.freedom), 2.0 ** (1 - changed))
    else:
        p = 1.0
    return Estimate(interval, variance, p, over_seeds, changed)


def over_seeds_only(ours: Sequence[float], base: Sequence[float], quantile: float = QUANTILE_95) -> Estimate | None:
    """Return the difference in means of a figure with one value per seed, by Welch (Biometrika 34, 1947).

    Args:
        ours: one value per seed.
        base: values of the baseline; none for the mean of `ours` itself.
        quantile: quantile for the bounds.

    Returns:
        None if a side has one seed, since its variance is unknown.
    """
    sides = [np.asarray(side, float) for side in (ours, base) if len(side)]
    if min(map(len, sides)) < 2:
        return None
    value = float(sides[0].mean() - (sides[1].mean() if len(sides) > 1 else 0.0))
    parts = tuple((float(side.var(ddof=1) / len(side)), len(side) - 1) for side in sides)
    variance = Variance(0.0, 1, sum(part for part, _ in parts), parts)
    half = _quantile(variance.freedom, quantile) * math.sqrt(variance.total)
    # Equal values do not show that the variance is zero.
    p = _two_sided(value / math.sqrt(variance.total), variance.freedom) if variance.total > 0 else 1.0
    return Estimate(Interval(value, value - half, value + half), variance, p, True, 0)


def _student(value: float, variance: Variance, low: float, high: float, quantile: float = QUANTILE_95) -> Interval:
    half = _quantile(variance.freedom, quantile) * math.sqrt(variance.total)
    return Interval(value, max(low, value - half), min(high, value + half))


def _checked(answers: Answers) -> Answers:
    if not answers.marks.size:
        raise ValueError("a score needs at least one answer")
    return answers


def _variance(parts: NDArray[np.float64], rows: Sequence[Answers], prior: SeedPrior, widest: float) -> Variance:
    """Return the variance between videos, from their contributions `parts`, and between the seeds of all rows."""
    videos = len(parts)
    between = [_between_seeds(row, prior) for row in rows if row.seeds > 1]
    return Variance(
        # The variance over one video is unknown, so the largest possible one is assumed.
        float(videos / (videos - 1) * (parts**2).sum()) if videos > 1 else widest**2,
        videos - 1,
        sum(max(0.0, total - chance) for total, chance, _ in between),
        tuple((total, freedom) for total, _, freedom in between),
        prior.most,
    )


def _between_seeds(answers: Answers, prior: SeedPrior) -> tuple[float, float, float]:
    """Return the variance of the mean over seeds, the part of it due to single answers, and degrees of freedom."""
    variance, freedom = prior.moderated(answers)
    return variance / answers.seeds, answers.chance, freedom


def _with_two_questions(variance: Variance, answers: Answers) -> Variance:
    if math.isinf(answers.widest):  # log-likelihoods never all agree
        return variance
    questions = answers.marks.shape[1]
    shrunk = variance.videos * (questions / (questions + 2)) ** 2 + 1 / (questions + 2) ** 2
    return replace(variance, videos=shrunk)


def _quantile(freedom: float, quantile: float = QUANTILE_95) -> float:
    """Return the t value of a quantile."""
    return float(stats.t.ppf(quantile, freedom))


def _two_sided(t: float, freedom: float) -> float:
    """Return the two-sided p value of a t statistic."""
    return 2 * float(stats.t.sf(abs(t), freedom))


def randomisation_p(differences: Sequence[int]) -> float:
    """Return the two-sided p value of a sum of paired differences.

    Fisher's randomisation test of pairs (The Design of Experiments, 1935, section 21): if the two runs were equally
    good, the difference of each video could as well have had the other sign, for all its questions at once, since
    answers about one video are dependent. The test is exact over all signs. With one question per video it is
    McNemar's exact test.

    Videos are treated as independent, and the two trainings as fixed.

    Args:
        differences: per video, number of right answers of one run minus that of the other.
    """
    sizes = [abs(difference) for difference in differences if difference]
    if not sizes:
        return 1.0
    unit = math.gcd(*sizes)
    sizes = [size // unit for size in sizes]
    total = sum(sizes)
    chances = np.zeros(2 * total + 1)  # probabilities of the sums from -total to total
    chances[total] = 1.0
    for size in sizes:
        shifted = np.zeros_like(chances)
        shifted[size:] += chances[:-size]
        shifted[:-size] += chances[size:]
        chances = shifted / 2
    observed = abs(sum(differences)) // unit
    return min(1.0, 2 * float(chances[total + observed :].sum())) if observed else 1.0


def on_grid(differences: Sequence[float]) -> list[int]:
    """Round differences that are not whole numbers for `randomisation_p`, to steps of 1 / `GRID` of their absolute sum.

    That moves each difference by at most half a step, and changes p by less than 1 %.
    """
    step = math.fsum(map(abs, differences)) / GRID
    return [round(difference / step) for difference in differences] if step else [0] * len(differences)


def holm(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return corrected p values, with which the probability of any false positive at 0.05 is at most 0.05.

    Holm's step-down correction with weights (Scandinavian Journal of Statistics 6, 1979, section 4), which holds
    whatever the dependence between the tests.

    Args:
        values: uncorrected p values of the tests.
        weights: shares of the 5 % for the tests, above zero.
    """
    corrected = [1.0] * len(values)
    largest, left = 0.0, sum(weights)
    for index in sorted(range(len(values)), key=lambda index: values[index] / weights[index]):
        largest = max(largest, min(1.0, values[index] * left / weights[index]))
        corrected[index] = largest
        left -= weights[index]
    return corrected
