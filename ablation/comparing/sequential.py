"""Error rates of a table that is looked at again whenever its rows have one more seed, and stops when it is decided.

Who looks at every seed and stops when p is small finds something in a quarter of all cases. So each look has a level of
its own, and these are such that over all looks a test has what it may have:

- Levels are those of a group-sequential test whose looks spend the error rate with the third power of the information,
  which is the number of seeds over the most that there may be (Lan and DeMets, Biometrika 70, 1983; Kim and DeMets,
  Biometrika 74, 1987): little of it early, when few seeds say little of their variance, and most of it late.
  That statistics of successive looks go together is used (Armitage, McPherson and Rowe, Journal of the Royal
  Statistical Society A 132, 1969): only what was not found before can be found now. p values of t tests are compared
  with these levels as they are (the significance level approach: Jennison and Turnbull, Group Sequential Methods, 2000,
  section 4.4).
- Over rows and scores, Holm's correction goes on top: a p value, divided by the share of its test's level that the look
  has, is corrected and compared with 0.05 as ever. What was found at an earlier look stays found, and gives its share
  of the 5 % to others (Ye, Li, Liu and Yao, Statistics in Medicine 32, 2013). Levels of looks are those of the smallest
  share that a test may have; of a larger one they would be more than in proportion.
- A row that is decided is looked at no more, in no score: that it stopped depends on what was seen.
- A difference that matters is ruled out by a repeated interval (Jennison and Turnbull, Journal of the Royal Statistical
  Society B 51, 1989) that has the truth in it at all looks in 90 of 100 cases: two one-sided tests at 5 % (Schuirmann,
  Journal of Pharmacokinetics and Biopharmaceutics 15, 1987).

The first look is at three seeds: of two, none may tell that a family is learnt in some seeds only. The baseline has two
more than rows have, at every look but the last: it is in every difference, so that its seeds tell most, and what is
false in tables of few seeds comes mostly from a baseline whose seeds happen to be alike.

tests/ablation/comparing/simulated_looks.py simulates whole tables; docs/compare.md has the rates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from scipy import stats

from ablation.comparing.certainty import CERTAIN
from ablation.comparing.verdict import LEVEL

FIRST = 3  # seeds, at which the first look is
LEAD = 2  # seeds that the baseline has more
RULED_OUT = 0.1  # both sides of the interval over all looks
_POWER = 3
_GRID = np.linspace(-9.0, 9.0, 1201)


@dataclass(frozen=True)
class Looks:
    """How often the tests of a table are looked at: once, unless a row was given seeds until it was decided.

    Attributes:
        most: experiment -> seeds that it might have had, of those that were given seeds until they were decided.
        before: experiment and score -> whether a difference was found, of what is looked at no more.
        rows: beside the baseline that all looks are for, if one of them may be of fewer.
    """

    most: Mapping[str, int] = field(default_factory=dict)
    before: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    rows: int = 0

    def of(self, *experiments: str) -> int:
        """Return the most seeds that one of several experiments might have had; 0 if all are looked at once."""
        return max(self.most.get(name, 0) for name in experiments)

    def p(self, test: tuple[str, str], baseline: str, seeds: int, p: float, share: float) -> float:
        """Return the p value of a test among all looks at it, which remains to be corrected for other tests.

        Args:
            test: experiment and score.
            baseline: that the experiment is compared with.
            seeds: of the experiment or of the baseline, whichever are fewer.
            p: value at this look.
            share: of the 5 % of all tests.
        """
        if test in self.before:
            return 0.0 if self.before[test] else 1.0
        most = self.of(test[0], baseline)
        level = spent(seeds, most, LEVEL * share) if most else 1.0
        return min(1.0, p / level) if level else 1.0

    def caption(self) -> list[str]:
        """Return what tests and intervals are, in a sentence; none if they are as ever."""
        if not self.most:
            return []
        return [
            "Seeds were added to rows until these were decided: p is corrected for looks at"
            f" {FIRST} to {max(self.most.values())} seeds too, and intervals of differences have the truth in them at"
            " all these looks in 90 of 100 cases."
        ]

    def certain(self, experiment: str, baseline: str, seeds: int) -> float:
        """Return which quantile the bounds of a difference are."""
        most = self.of(experiment, baseline)
        return 1 - RULED_OUT * spent(max(seeds, FIRST), most, RULED_OUT) / 2 if most else CERTAIN


ONCE = Looks()


def spent(seeds: int, most: int, whole: float) -> float:
    """Return the level of a look as a share of the level over all looks; none with fewer seeds than at the first look.

    Args:
        seeds: at the look.
        most: at the last one.
        whole: level over all looks.
    """
    return levels(max(FIRST, most), whole)[min(seeds, most) - FIRST] / whole if seeds >= FIRST else 0.0


@cache
def levels(most: int, whole: float) -> tuple[float, ...]:
    """Return the level of each look, two-sided, from that at `FIRST` seeds to that at the most.

    Args:
        most: seeds.
        whole: level over all looks.
    """
    step = _GRID[1] - _GRID[0]
    found: list[float] = []
    density = np.empty(0)  # of the normal statistic where nothing was found so far
    for seeds in range(FIRST, most + 1):
        share = whole * (seeds / most) ** _POWER
        if not found:
            found.append(share)
            density = stats.norm.pdf(_GRID)
        else:
            kept = ((seeds - 1) / seeds) ** 0.5
            density = step * stats.norm.pdf(_GRID[:, None], kept * _GRID, (1 - kept**2) ** 0.5) @ density
            outside = 2 * step * (density[::-1].cumsum()[: len(_GRID) // 2] - density[::-1][: len(_GRID) // 2] / 2)
            more = share - whole * ((seeds - 1) / most) ** _POWER
            bound = float(np.interp(np.log(more), np.log(outside), _GRID[::-1][: len(_GRID) // 2]))
            found.append(2 * float(stats.norm.sf(bound)))
        density = np.where(np.abs(_GRID) < stats.norm.isf(found[-1] / 2), density, 0.0)
    return tuple(found)
