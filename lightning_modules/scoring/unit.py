"""How means of a metric are shown, and which difference between two of them matters."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_modules.scoring.interval import Interval


@dataclass(frozen=True)
class Unit:
    """How shares of the best value are shown. Statistics are of shares, whatever the unit.

    Attributes:
        best: what is shown for a share of 1.
        digits: number of digits behind the point.
        sign: what stands behind the name of a score.
        what: what is counted, as a caption begins.
        points: what differences are in.
        smallest: smallest difference that matters, as it is shown, if nothing else is said.
    """

    best: float
    digits: int
    sign: str
    what: str
    points: str
    smallest: float

    def value(self, share: float, sign: bool = False) -> str:
        """Return a share as it is shown; a difference of shares with its sign. Zero is not negative."""
        return f"{round(self.best * share, self.digits) + 0.0:{'+' if sign else ''}.{self.digits}f}"

    def gap(self, share: float) -> str:
        """Return a difference of shares."""
        return self.value(share, sign=True)

    def bounds(self, interval: Interval, sign: bool = False) -> str:
        """Return a share and its bounds; a difference with its sign."""
        value, low, high = (self.value(share, sign) for share in (interval.value, interval.low, interval.high))
        return f"{value} [{low}, {high}]"


PERCENT = Unit(100, 1, "%", "Right answers in percent", "percentage points", 2.0)
