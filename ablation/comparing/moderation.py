"""What the rows of a table say together of how much trainings differ, as two or three seeds of one row say little.

The variance between the seeds of a row is moderated (Smyth, Statistical Applications in Genetics and Molecular Biology
3, 2004): rows are taken to have variances of their own that scatter about a common one, as a scaled inverse chi-square
with d0 degrees of freedom does, and each row's estimate with d degrees of freedom is drawn to the common one by
d0 / (d0 + d). It then has d0 + d degrees of freedom; no more than all rows together have, as in the package limma.

- Near 0 and 100 % seeds differ less. So what rows share is the dispersion, variance / (mean (1 - mean)), as in Lund et
  al. (Statistical Applications in Genetics and Molecular Biology 11, 2012).
- Given d0 and the common dispersion, those of the rows have a scaled F distribution (Wright and Simon, Bioinformatics
  19, 2003). Few rows say little of d0. So it is not where that is most likely, which is often infinite, but the lowest
  tenth of what is likely, if the weight d0 / (d0 + d) was as likely to be anything between 0 and 1 beforehand.
- The common dispersion is the mean of all rows, which is more than the scale of that distribution, the more so the
  smaller d0 is; and in a row whose own variance is r > 1 times the common one, d0 counts 1 / r^2. Else intervals would
  be too narrow in a row that does differ more than others, and in every row if it is the baseline. (Both are for that,
  and were chosen for the error rates of simulated tables, which docs/compare.md has.)
- Of two rows nothing is shared.

That holds where means of seeds are about normally distributed. A family that is learnt in some trainings and not in
others is split, and then all rows are taken to differ as a fair coin between the two would: no distribution between
two values has a larger variance (Popoviciu, Mathematica 9, 1935). That is about the exact test of how many seeds have
learnt it (Boschloo, Statistica Neerlandica 24, 1970): three seeds against none of three have p = 0.03.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ablation.comparing.answers import Answers

SPLIT = 0.2  # of the scale: how far apart neighbours among the seeds of a row must be to be of two kinds
_CHANCE = 4.0  # times the standard deviation that single answers make
_WARY = 0.1  # of what is likely of d0 lies below what is taken
_WEIGHTS = (np.arange(32) + 0.5) / 32
_STEPS = 41  # of the scale
_FEWEST = 3  # rows that say anything of each other


@dataclass(frozen=True)
class SeedPrior:
    """What a table says of the variance between the seeds of its rows.

    Attributes:
        dispersion: common to the rows.
        freedom: degrees of freedom that it is worth in a row; 0 where each row stands for itself.
        rows: that have more than one seed.
        most: degrees of freedom of all rows together.
        coin: variance of a fair coin between what learnt and other seeds have; 0 where no row is split.
    """

    dispersion: float = 0.0
    freedom: float = 0.0
    rows: int = 2
    most: float = math.inf
    coin: float = 0.0

    def moderated(self, answers: Answers) -> tuple[float, float]:
        """Return the variance between seeds, of two at least, and its degrees of freedom."""
        if self.coin:
            return self.coin, self.most
        own, freedom = float(answers.means().var(ddof=1)), answers.seeds - 1
        common = self.dispersion * _scale(answers)
        prior = self.freedom * (common / max(own, common)) ** 2 if self.freedom else 0.0
        return (freedom * own + prior * common) / (freedom + prior), min(freedom + prior, self.most)

    def freedom_of(self, seeds: int) -> float:
        """Return about how many degrees of freedom a difference has if each row has this many seeds."""
        together = float(self.rows * (seeds - 1))
        return together if self.coin else min(together, 2 * (seeds - 1 + self.freedom))


ALONE = SeedPrior()


def seed_prior(rows: Sequence[Answers]) -> SeedPrior:
    """Return what the rows of a table say together about a score.

    Args:
        rows: answers of each to the same questions; of those with one seed nothing is taken.
    """
    known = [row for row in rows if row.seeds > 1]
    if not known:
        return ALONE
    most = sum(row.seeds - 1 for row in known)
    widest = max((float(np.ptp(row.means())) for row in known if learnt(row)), default=0.0)
    if widest:
        return SeedPrior(0.0, 0.0, len(known), most, widest**2 / 4)
    # Seeds with equal means say that a variance is small, but not how small.
    differing = [row for row in known if np.ptp(row.means()) > 0]
    if len(differing) < _FEWEST:
        return ALONE
    dispersions = np.array([row.means().var(ddof=1) / _scale(row) for row in differing])
    freedoms = np.array([row.seeds - 1.0 for row in differing])
    common = float(np.average(dispersions, weights=freedoms))
    return SeedPrior(common, _prior_freedom(dispersions, freedoms), len(known), most)


def learnt(answers: Answers) -> int:
    """Return how many seeds lie above the widest gap between two, if it is so wide that seeds are of two kinds; else 0.

    It must be a fifth of the scale, and four times what single answers make of a difference.
    """
    if answers.seeds == 1:
        return 0
    gaps = np.diff(np.sort(answers.means()))
    chance = math.sqrt(2 * 0.25 / (answers.videos.max() + 1))
    return answers.seeds - 1 - int(gaps.argmax()) if gaps.max() >= max(SPLIT, _CHANCE * chance) else 0


def _scale(answers: Answers) -> float:
    """Return mean (1 - mean), above zero where all are right or all wrong too."""
    count = answers.marks.size
    mean = (float(answers.marks.sum()) / answers.full + 0.5) / (count + 1)
    return mean * (1 - mean)


def _prior_freedom(dispersions: NDArray[np.float64], freedoms: NDArray[np.float64]) -> float:
    """Return the degrees of freedom d0 that are likely to be no fewer, whatever the scale is."""
    logs = np.log(dispersions)
    scales = np.linspace(logs.min() - 2, logs.max() + 2, _STEPS)
    priors = freedoms.mean() * _WEIGHTS / (1 - _WEIGHTS)
    ratios = np.exp(logs - scales[:, None])
    likely = stats.f.logpdf(ratios, freedoms, priors[:, None, None]).sum(axis=2) - scales * len(logs)
    of_priors = np.exp(likely - likely.max()).sum(axis=1).cumsum()
    return float(priors[np.searchsorted(of_priors, _WARY * of_priors[-1])])
