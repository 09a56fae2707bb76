"""An exact test of the difference of two runs on the same questions, video by video."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

GRID = 2**15  # steps that all differences together have when they are no whole numbers


def randomisation_p(differences: Sequence[int]) -> float:
    """Return how often chance alone makes the sum of differences this large, in either direction.

    Fisher's randomisation test of pairs (The Design of Experiments, 1935, section 21): were the two runs equally good,
    each video's difference could as well have had the other sign, for all its questions at once, since answers about
    one video go together. All signs are counted, none drawn. With one question per video this is McNemar's exact test.

    It treats videos as drawn independently of each other, and two trainings as the only ones.

    Args:
        differences: per video, right answers of the one run minus those of the other.
    """
    sizes = [abs(each) for each in differences if each]
    if not sizes:
        return 1.0
    unit = math.gcd(*sizes)
    sizes = [size // unit for size in sizes]
    total = sum(sizes)
    chances = np.zeros(2 * total + 1)  # of each sum from -total to total
    chances[total] = 1.0
    for size in sizes:
        moved = np.zeros_like(chances)
        moved[size:] += chances[:-size]
        moved[:-size] += chances[size:]
        chances = moved / 2
    seen = abs(sum(differences)) // unit
    return min(1.0, 2 * float(chances[total + seen :].sum())) if seen else 1.0


def on_grid(differences: Sequence[float]) -> list[int]:
    """Return differences that are no whole numbers for `randomisation_p`: in steps of which all together have `GRID`.

    That moves each of them by at most half a step, and p by less than a hundredth of itself.
    """
    step = math.fsum(map(abs, differences)) / GRID
    return [round(each / step) for each in differences] if step else [0] * len(differences)
