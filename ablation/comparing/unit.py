"""What a comparison counts, and how it is shown: right answers in percent, scores of 0 to 5, log-likelihoods."""

from __future__ import annotations

from dataclasses import dataclass

from ablation.judging.judge import BEST_SCORE
from lightning_modules.scoring.interval import Interval


@dataclass(frozen=True)
class Unit:
    """How shares of what could be reached are shown. Statistics are of shares, whatever the unit.

    Attributes:
        best: what is shown of a share of 1.
        digits: behind the point.
        sign: behind the name of a score.
        what: is counted.
        points: what differences are in.
        smallest: difference that matters, if nothing else is said.
    """

    best: float
    digits: int
    sign: str
    what: str
    points: str
    smallest: float

    def value(self, share: float, sign: bool = False) -> str:
        """Return a share; a difference of shares with its sign. Zero is not negative."""
        return f"{round(self.best * share, self.digits) + 0.0:{'+' if sign else ''}.{self.digits}f}"

    def gap(self, share: float) -> str:
        """Return a difference of shares."""
        return self.value(share, sign=True)

    def bounds(self, interval: Interval, sign: bool = False) -> str:
        """Return a share and its bounds; a difference with its sign."""
        value, low, high = (self.value(each, sign) for each in (interval.value, interval.low, interval.high))
        return f"{value} [{low}, {high}]"


PERCENT = Unit(100, 1, "%", "Right answers in percent", "percentage points", 2.0)
POINTS = Unit(BEST_SCORE, 2, f"0 to {BEST_SCORE}", f"The judge's scores of 0 to {BEST_SCORE}", "points", 0.1)
NATS = Unit(1, 3, "nats", "Mean log-likelihood of the right answer among all that a question may have", "nats", 0.0)
