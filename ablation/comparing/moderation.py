"""Moderated variances between seeds: two or three seeds of a row say little, so the rows of a table share information.

The variance between the seeds of a row is moderated (Smyth, Statistical Applications in Genetics and Molecular Biology
3, 2004): the variances of rows are assumed to scatter about a common one like a scaled inverse chi-square with d0
degrees of freedom, and each row's estimate with d degrees of freedom is shrunk to the common one by d0 / (d0 + d). It
then has d0 + d degrees of freedom, but at most those of all rows together, as in the package limma.

- Near 0 and 100 % seeds differ less. So rows share the dispersion, variance / (mean (1 - mean)), as in Lund et al.
  (Statistical Applications in Genetics and Molecular Biology 11, 2012).
- Given d0 and the common dispersion, the rows' dispersions have a scaled F distribution (Wright and Simon,
  Bioinformatics 19, 2003). Few rows say little about d0, and its maximum likelihood estimate is often infinite. So d0
  is the lowest decile of its posterior, with a uniform prior on the weight d0 / (d0 + d) between 0 and 1.
- The common dispersion is the mean of all rows, which is larger than the scale of that distribution, the more so the
  smaller d0 is; and in a row whose own variance is r > 1 times the common one, d0 is multiplied by 1 / r^2. Otherwise
  intervals would be too narrow in a row whose seeds differ more, and in every row if that row is the baseline. (Both
  were chosen for the error rates of simulated tables, which are in docs/compare.md.)
- Fewer than three rows share nothing.

All this assumes that means of seeds are about normally distributed. The scores of a family that some trainings learn
and others do not are split in two. Then the seeds of all rows are assumed to differ like a fair coin between the two
values: no distribution between two values has a larger variance (Popoviciu, Mathematica 9, 1935). That is close to the
exact test of how many seeds have learnt it (Boschloo, Statistica Neerlandica 24, 1970): three seeds against none of
three have p = 0.03.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ablation.comparing.answers import Answers

SPLIT = 0.2  # minimum gap between neighbouring seeds of a row that are split, as a share of the scale
_CHANCE = 4.0  # the same in standard deviations from single answers
_QUANTILE = 0.1  # of the posterior of d0
_WEIGHTS = (np.arange(32) + 0.5) / 32  # grid of d0 / (d0 + d)
_STEPS = 41  # grid points of the scale
_FEWEST = 3  # rows that share a dispersion


@dataclass(frozen=True)
class SeedPrior:
    """The prior of the variance between seeds, estimated from the rows of a table.

    Attributes:
        dispersion: dispersion that is common to the rows.
        freedom: degrees of freedom d0 that it adds in a row; 0 if rows share nothing.
        rows: number of rows with more than one seed.
        most: degrees of freedom of all rows together.
        coin: variance of a fair coin between the scores of seeds that have learnt and of the others; 0 without a split.
    """

    dispersion: float = 0.0
    freedom: float = 0.0
    rows: int = 2
    most: float = math.inf
    coin: float = 0.0

    def moderated(self, answers: Answers) -> tuple[float, float]:
        """Return the moderated variance between at least two seeds, and its degrees of freedom."""
        if self.coin:
            return self.coin, self.most
        own, freedom = float(answers.means.var(ddof=1)), answers.seeds - 1
        common = self.dispersion * _scale(answers)
        prior = self.freedom * (common / max(own, common)) ** 2 if self.freedom else 0.0
        return (freedom * own + prior * common) / (freedom + prior), min(freedom + prior, self.most)

    def freedom_of(self, seeds: int) -> float:
        """Return the approximate degrees of freedom of a difference if every row had this many seeds."""
        together = float(self.rows * (seeds - 1))
        return together if self.coin else min(together, 2 * (seeds - 1 + self.freedom))


ALONE = SeedPrior()


def seed_prior(rows: Sequence[Answers]) -> SeedPrior:
    """Estimate the prior of the variance between seeds from the rows of a table.

    Args:
        rows: answers of all rows to the same questions; rows with one seed are ignored.
    """
    repeated = [row for row in rows if row.seeds > 1]
    if not repeated:
        return ALONE
    most = sum(row.seeds - 1 for row in repeated)
    widest = max((float(np.ptp(row.means)) for row in repeated if learnt(row)), default=0.0)
    if widest:
        return SeedPrior(0.0, 0.0, len(repeated), most, widest**2 / 4)
    # Equal means show that a variance is small, but not how small.
    differing = [row for row in repeated if np.ptp(row.means) > 0]
    if len(differing) < _FEWEST:
        return ALONE
    dispersions = np.array([row.means.var(ddof=1) / _scale(row) for row in differing])
    freedoms = np.array([row.seeds - 1.0 for row in differing])
    common = float(np.average(dispersions, weights=freedoms))
    return SeedPrior(common, _prior_freedom(dispersions, freedoms), len(repeated), most)


def learnt(answers: Answers) -> int:
    """Return the number of seeds above the widest gap between two, if it is so wide that seeds are split; otherwise 0.

    It must be at least `SPLIT` of the scale, and `_CHANCE` standard deviations of a difference from single answers.
    """
    if answers.seeds == 1:
        return 0
    gaps = np.diff(np.sort(answers.means))
    chance = math.sqrt(2 * 0.25 / (answers.videos.max() + 1))
    return answers.seeds - 1 - int(gaps.argmax()) if gaps.max() >= max(SPLIT, _CHANCE * chance) else 0


def _scale(answers: Answers) -> float:
    """Return mean (1 - mean), slightly shrunk to be above zero even if all answers are right or all are wrong."""
    count = answers.marks.size
    mean = (float(answers.marks.sum()) / answers.full + 0.5) / (count + 1)
    return mean * (1 - mean)


def _prior_freedom(dispersions: NDArray[np.float64], freedoms: NDArray[np.float64]) -> float:
    """Return the `_QUANTILE` of the posterior of d0, with the scale integrated out."""
    logs = np.log(dispersions)
    scales = np.linspace(logs.min() - 2, logs.max() + 2, _STEPS)
    priors = freedoms.mean() * _WEIGHTS / (1 - _WEIGHTS)
    ratios = np.exp(logs - scales[:, None])
    log_likelihoods = stats.f.logpdf(ratios, freedoms, priors[:, None, None]).sum(axis=2) - scales * len(logs)
    cumulative = np.exp(log_likelihoods - log_likelihoods.max()).sum(axis=1).cumsum()
    return float(priors[np.searchsorted(cumulative, _QUANTILE * cumulative[-1])])
