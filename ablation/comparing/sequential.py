"""Sequential tests: error rates of a table that is looked at after every added seed until its rows are decided.

Testing after every seed and stopping at a small p would find a difference in a quarter of all cases without any. So
every look has a level of its own, such that all looks together keep the level of the test:

- Levels are those of a group-sequential test whose looks spend the error rate with the third power of the information,
  which is the number of seeds as a share of the maximum (Lan and DeMets, Biometrika 70, 1983; Kim and DeMets,
  Biometrika 74, 1987): little of it early, when few seeds say little about their variance, and most of it late.
  The dependence between the statistics of successive looks is taken into account (Armitage, McPherson and Rowe,
  Journal of the Royal Statistical Society A 132, 1969). p values of t tests are compared with these levels unchanged
  (the significance level approach: Jennison and Turnbull, Group Sequential Methods, 2000, section 4.4).
- Holm's correction for rows and scores is applied to p values divided by the look's share of the test's level, and the
  results are compared with 0.05 as usual. A difference that was found at an earlier look remains found, and passes its
  share of the 5 % to other tests (Ye, Li, Liu and Yao, Statistics in Medicine 32, 2013). Levels of looks are those for
  the smallest share that a test can have; for a larger share they would grow more than in proportion.
- A decided row is not tested again in any score, since the decision to stop depends on the data.
- A difference that matters is ruled out by a repeated interval (Jennison and Turnbull, Journal of the Royal Statistical
  Society B 51, 1989) that covers the true value at all looks in 90 of 100 cases: two one-sided tests at 5 %
  (Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987).

The first look is at three seeds, since two may not show that only some seeds learn a family. The baseline has two more
seeds than the rows at every look but the last: it is part of every difference, so its seeds are the most informative,
and false results in tables of few seeds are mostly due to a baseline whose seeds happen to agree.

tests/ablation/comparing/simulated_looks.py simulates whole tables; docs/compare.md has the rates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from scipy import stats

from ablation.comparing.certainty import QUANTILE_95
from ablation.comparing.verdict import LEVEL

FIRST = 3  # seeds at the first look
LEAD = 2  # additional seeds of the baseline
RULED_OUT = 0.1  # two-sided error rate of the interval over all looks
_POWER = 3
_GRID = np.linspace(-9.0, 9.0, 1201)


@dataclass(frozen=True)
class Looks:
    """The looks at the tests of a table: one, unless seeds were added to rows until they were decided.

    Attributes:
        most: maximum number of seeds, by experiment, for those with seeds added until they were decided.
        before: whether a difference was found, by experiment and score, for tests that are finished.
        rows: number of rows beside the baseline over all looks, if a look may have fewer; otherwise 0.
    """

    most: Mapping[str, int] = field(default_factory=dict)
    before: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    rows: int = 0

    def of(self, *experiments: str) -> int:
        """Return the largest maximum number of seeds of the experiments; 0 if all are looked at once."""
        return max(self.most.get(name, 0) for name in experiments)

    def p(self, test: tuple[str, str], baseline: str, seeds: int, p: float, share: float) -> float:
        """Return the p value of a test corrected for its looks, but not for other tests.

        Args:
            test: experiment and score.
            baseline: name of the baseline.
            seeds: number of seeds of the experiment or the baseline, whichever has fewer.
            p: p value at this look.
            share: share of the 5 % for this test.
        """
        if test in self.before:
            return 0.0 if self.before[test] else 1.0
        most = self.of(test[0], baseline)
        level = spent(seeds, most, LEVEL * share) if most else 1.0
        return min(1.0, p / level) if level else 1.0

    def caption(self) -> list[str]:
        """Return a sentence about the correction for looks; empty if there is one look."""
        if not self.most:
            return []
        return [
            "Seeds were added to rows until these were decided: p is corrected for looks at"
            f" {FIRST} to {max(self.most.values())} seeds too, and intervals of differences have the truth in them at"
            " all these looks in 90 of 100 cases."
        ]

    def quantile(self, experiment: str, baseline: str, seeds: int) -> float:
        """Return the quantile for the bounds of a difference."""
        most = self.of(experiment, baseline)
        return 1 - RULED_OUT * spent(max(seeds, FIRST), most, RULED_OUT) / 2 if most else QUANTILE_95


ONCE = Looks()


def spent(seeds: int, most: int, whole: float) -> float:
    """Return the level of a look as a share of the level over all looks; 0 with fewer seeds than at the first look.

    Args:
        seeds: number of seeds at the look.
        most: maximum number of seeds, at the last look.
        whole: level over all looks.
    """
    return levels(max(FIRST, most), whole)[min(seeds, most) - FIRST] / whole if seeds >= FIRST else 0.0


@cache
def levels(most: int, whole: float) -> tuple[float, ...]:
    """Return the two-sided levels of the looks, from that at `FIRST` seeds to that at the maximum.

    Args:
        most: maximum number of seeds.
        whole: level over all looks.
    """
    step = _GRID[1] - _GRID[0]
    spent_levels: list[float] = []
    density = np.empty(0)  # of the normal statistic within the bounds of all looks so far
    for seeds in range(FIRST, most + 1):
        share = whole * (seeds / most) ** _POWER
        if not spent_levels:
            spent_levels.append(share)
            density = stats.norm.pdf(_GRID)
        else:
            kept = ((seeds - 1) / seeds) ** 0.5
            density = step * stats.norm.pdf(_GRID[:, None], kept * _GRID, (1 - kept**2) ** 0.5) @ density
            outside = 2 * step * (density[::-1].cumsum()[: len(_GRID) // 2] - density[::-1][: len(_GRID) // 2] / 2)
            more = share - whole * ((seeds - 1) / most) ** _POWER
            bound = float(np.interp(np.log(more), np.log(outside), _GRID[::-1][: len(_GRID) // 2]))
            spent_levels.append(2 * float(stats.norm.sf(bound)))
        density = np.where(np.abs(_GRID) < stats.norm.isf(spent_levels[-1] / 2), density, 0.0)
    return tuple(spent_levels)
