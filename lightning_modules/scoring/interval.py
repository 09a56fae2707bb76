"""Estimates with 95 % confidence intervals: Wilson's for shares, clustered if questions share a video."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

Z = NormalDist().inv_cdf(0.975)  # two-sided 95 %
HOW_SURE = "95 % intervals, clustered by video"
ROUNDING = 1e-15  # largest variance that may be a zero with rounding errors


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(share: float, answers: float, quantile: float = Z) -> Interval:
    """Return a share of right answers with Wilson's score interval.

    Args:
        share: share of right answers, 0 to 1.
        answers: number of answers, or the effective number of independent ones; above zero.
        quantile: quantile of the normal distribution, or of Student's if the effective number is itself an estimate.
    """
    square = quantile**2
    centre = (share + square / (2 * answers)) / (1 + square / answers)
    half = quantile / (1 + square / answers) * math.sqrt(share * (1 - share) / answers + square / (4 * answers**2))
    # In exact arithmetic, the share is never outside the interval.
    return Interval(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))


def clustered_share(right: Sequence[bool], clusters: Sequence[Hashable]) -> Interval:
    """Return the share of right answers with Wilson's score interval for the effective number of answers.

    That is the number of independent answers with the same variance: all answers if every cluster has one, and never
    more. If all are right or all wrong, it is the number of clusters.

    Args:
        right: whether each answer is right.
        clusters: video of each answer.

    Raises:
        ValueError: there are no answers, or the lengths differ.
    """
    return clustered_mean_of_shares(right, clusters, [None] * len(right))


def clustered_mean_of_shares(
    shares: Sequence[float], clusters: Sequence[Hashable], families: Sequence[Hashable]
) -> Interval:
    """Return the unweighted mean of the families' mean shares, with an interval as in `clustered_share`.

    A cluster may have answers of several families.

    Args:
        shares: value of each answer, 0 to 1.
        clusters: video of each answer.
        families: family of each answer; all families have the same weight.

    Raises:
        ValueError: there are no answers, or the lengths differ.
    """
    _check(len(shares), len(clusters), len(families))
    mean, parts = _mean_of_means([float(share) for share in shares], families)
    answers, variance = len(shares), _variance(parts, clusters)
    independent = mean * (1 - mean) / max(1, answers - 1)  # the variance if every answer were a cluster
    effective = min(answers, answers * independent / variance) if variance > ROUNDING else len(set(clusters))
    return wilson(mean, effective)


def clustered_mean(values: Sequence[float], clusters: Sequence[Hashable], low: float, high: float) -> Interval:
    """Return the mean with an interval from the spread between clusters; for one cluster, all possible values.

    Args:
        values: value of each answer.
        clusters: video of each answer.
        low: smallest possible value.
        high: largest possible value.

    Raises:
        ValueError: there are no answers, or the lengths differ.
    """
    return clustered_mean_of_means(values, clusters, [None] * len(values), low, high)


def clustered_mean_of_means(
    values: Sequence[float], clusters: Sequence[Hashable], families: Sequence[Hashable], low: float, high: float
) -> Interval:
    """Return the unweighted mean of the families' means, with an interval as in `clustered_mean`.

    Args:
        values: value of each answer.
        clusters: video of each answer; it may have answers of several families.
        families: family of each answer; all families have the same weight.
        low: smallest possible value.
        high: largest possible value.

    Raises:
        ValueError: there are no answers, or the lengths differ.
    """
    _check(len(values), len(clusters), len(families))
    mean, parts = _mean_of_means(values, families)
    if len(set(clusters)) == 1:
        return Interval(mean, low, high)
    half = Z * math.sqrt(_variance(parts, clusters))
    return Interval(mean, max(low, mean - half), min(high, mean + half))


def _mean_of_means(values: Sequence[float], families: Sequence[Hashable]) -> tuple[float, list[float]]:
    """Return the unweighted mean of the families' means, and the contribution of each value to its deviation."""
    grouped: dict[Hashable, list[float]] = defaultdict(list)
    for value, family in zip(values, families, strict=True):
        grouped[family].append(value)
    means = {family: fmean(members) for family, members in grouped.items()}
    parts = [
        (value - means[family]) / (len(grouped[family]) * len(grouped))
        for value, family in zip(values, families, strict=True)
    ]
    return fmean(means.values()), parts


def _check(answers: int, *others: int) -> None:
    if not answers or any(other != answers for other in others):
        counts = " and ".join(map(str, (answers, *others)))
        raise ValueError(f"an interval needs answers and a cluster of each; got {counts}")


def _variance(parts: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """Return the variance of an estimate from the contribution of each answer to its deviation."""
    sums: dict[Hashable, float] = defaultdict(float)
    for part, cluster in zip(parts, clusters, strict=True):
        sums[cluster] += part
    groups = len(sums)
    correction = groups / (groups - 1) if groups > 1 else 1.0
    return correction * sum(total**2 for total in sums.values())
