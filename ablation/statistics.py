"""How sure a share of right answers, or a difference between two runs on the same questions, is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lightning_modules.interval import Interval, Z, wilson


def share(right: Sequence[bool]) -> Interval:
    """Return the share of right answers with Wilson's score interval.

    Raises:
        ValueError: no answers.
    """
    if not right:
        raise ValueError("a share needs at least one answer")
    return wilson(sum(right) / len(right), len(right))


def paired_difference(ours: Sequence[bool], base: Sequence[bool]) -> Interval:
    """Return the difference of two shares over the same questions, with its interval for paired answers.

    Agresti and Min's: half a question is added to each cell, so that the interval has a width even where the runs
    agree everywhere.

    Raises:
        ValueError: unequal numbers of answers, or none.
    """
    if len(ours) != len(base) or not ours:
        raise ValueError(f"paired answers must be equally many and not none; got {len(ours)} and {len(base)}")
    pairs = list(zip(ours, base, strict=True))
    n = len(pairs) + 2
    won = sum(a and not b for a, b in pairs) + 0.5
    lost = sum(b and not a for a, b in pairs) + 0.5
    centre = (won - lost) / n
    half = Z * math.sqrt((won + lost) / n - centre**2) / math.sqrt(n)
    return Interval((sum(ours) - sum(base)) / len(pairs), centre - half, centre + half)
