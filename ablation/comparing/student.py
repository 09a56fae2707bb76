"""Student's t distribution, of any positive number of degrees of freedom."""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist

_TINY = 1e-300
_MAX_TERMS = 100_000


def two_sided(t: float, freedom: float) -> float:
    """Return how often a t value is at least this far from zero by chance.

    By the incomplete beta function, as in Abramowitz and Stegun (1964), 26.5.27 and 26.7.1.

    Args:
        t: the value.
        freedom: degrees of freedom.
    """
    return _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t)) if math.isfinite(t) else 0.0


@cache
def quantile(share: float, freedom: float) -> float:
    """Return the t value above zero that has `share` of the distribution below it.

    Args:
        share: above one half.
        freedom: degrees of freedom; infinitely many give the normal distribution.
    """
    if math.isinf(freedom):
        return NormalDist().inv_cdf(share)
    outside = 2 * (1 - share)
    low, high = 0.0, 1.0
    while two_sided(high, freedom) > outside:
        low, high = high, 2 * high
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided(middle, freedom) > outside else (low, middle)
    return high


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function, on the side where its fraction converges fast."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    log_front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(log_front) * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of DLMF 8.17.22, by Lentz's method (Applied Optics 15, 1976) as Thompson has it."""
    value, above, below = 1.0, 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    value = below
    for m in range(1, _MAX_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            below = 1 / _away(1 + term * below)
            above = _away(1 + term / above)
            value *= above * below
        if abs(above * below - 1) < 1e-15:
            break
    return value


def _away(value: float) -> float:
    """Return a divisor that is not zero."""
    return value if abs(value) > _TINY else _TINY
