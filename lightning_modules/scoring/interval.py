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


def wilson(share: float, answers: float, quantile: float = Z) -> Interval:
    """Return a share of right answers with Wilson's score interval.

    Args:
        share: of all answers.
        answers: how many there are, or as many as they are worth; more than none.
        quantile: of the standard normal distribution, or of Student's where their worth is itself an estimate.
    """
    square = quantile**2
    centre = (share + square / (2 * answers)) / (1 + square / answers)
    half = quantile / (1 + square / answers) * math.sqrt(share * (1 - share) / answers + square / (4 * answers**2))
    # In exact numbers, the share is never outside.
    return Interval(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))
