"""Many tests at once: how small a p value must be among them."""

from __future__ import annotations

from collections.abc import Sequence


def holm(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return corrected p values: that any test with no effect is at most 0.05 has a chance of at most 0.05.

    Holm's step-down correction with weights (Scandinavian Journal of Statistics 6, 1979, section 4): it asks nothing of
    how the tests depend on each other.

    Args:
        values: p values of each test by itself.
        weights: share of the 5 % that each test gets, above zero.
    """
    corrected = [1.0] * len(values)
    largest, left = 0.0, sum(weights)
    for index in sorted(range(len(values)), key=lambda index: values[index] / weights[index]):
        largest = max(largest, min(1.0, values[index] * left / weights[index]))
        corrected[index] = largest
        left -= weights[index]
    return corrected
