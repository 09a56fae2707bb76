"""Units in which means of a metric are shown, with the smallest difference between two means that matters."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_modules.scoring.interval import Interval


@dataclass(frozen=True)
class Unit:
    """A unit in which means of a metric are shown. Statistics are of shares, whatever the unit.

    Attributes:
        best: displayed value of a share of 1.
        digits: number of decimal places.
        sign: sign of the unit, after the name of a score.
        what: quantity, as the beginning of a caption.
        points: unit of differences.
        smallest: default for the smallest difference that matters, as displayed.
    """

    best: float
    digits: int
    sign: str
    what: str
    points: str
    smallest: float

    def value(self, share: float, sign: bool = False) -> str:
        """Return a share as displayed, a difference of shares with its sign. Zero is never negative."""
        return f"{round(self.best * share, self.digits) + 0.0:{'+' if sign else ''}.{self.digits}f}"

    def gap(self, share: float) -> str:
        """Return a difference of shares as displayed."""
        return self.value(share, sign=True)

    def bounds(self, interval: Interval, sign: bool = False) -> str:
        """Return a share and its bounds as displayed, a difference with its signs."""
        value, low, high = (self.value(share, sign) for share in (interval.value, interval.low, interval.high))
        return f"{value} [{low}, {high}]"


PERCENT = Unit(100, 1, "%", "Right answers in percent", "percentage points", 2.0)
