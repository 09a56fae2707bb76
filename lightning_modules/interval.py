"""An estimate with its 95 % interval, and Wilson's interval of a share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

Z = NormalDist().inv_cdf(0.975)  # two-sided 95 %


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(share: float, answers: float) -> Interval:
    """Return a share of right answers with Wilson's score interval.

    Args:
        share: of all answers.
        answers: how many there are, or as many as they are worth; more than none.
    """
    centre = (share + Z**2 / (2 * answers)) / (1 + Z**2 / answers)
    half = Z / (1 + Z**2 / answers) * math.sqrt(share * (1 - share) / answers + Z**2 / (4 * answers**2))
    # In exact numbers, the share is never outside.
    return Interval(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))
