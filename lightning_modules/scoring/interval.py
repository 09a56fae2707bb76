"""Estimates with their 95 % intervals: Wilson's of a share, and clustered ones where questions are about one video."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

Z = NormalDist().inv_cdf(0.975)  # two-sided 95 %
HOW_SURE = "95 % intervals, clustered by video"
ROUNDING = 1e-15  # what rounding may leave of a variance of zero


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
        answers: how many answers there are, or how many independent ones they are worth; above zero.
        quantile: of the standard normal distribution, or of Student's where their worth is itself an estimate.
    """
    square = quantile**2
    centre = (share + square / (2 * answers)) / (1 + square / answers)
    half = quantile / (1 + square / answers) * math.sqrt(share * (1 - share) / answers + square / (4 * answers**2))
    # In exact numbers, the share is never outside.
    return Interval(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))


def clustered_share(right: Sequence[bool], clusters: Sequence[Hashable]) -> Interval:
    """Return the share of right answers with Wilson's score interval for as many answers as they are worth.

    They are worth as many independent answers as would have the same variance: all of them where every cluster has one
    answer, and never more. Where all are right or all wrong, they are worth the number of clusters.

    Args:
        right: whether each answer is right.
        clusters: the video that each answer is about.

    Raises:
        ValueError: no answers, or not as many clusters.
    """
    return clustered_mean_of_shares(right, clusters, [None] * len(right))


def clustered_mean_of_shares(
    shares: Sequence[float], clusters: Sequence[Hashable], families: Sequence[Hashable]
) -> Interval:
    """Return the plain mean of the families' mean shares, with an interval as `clustered_share` has it.

    A cluster may have answers of several families.

    Args:
        shares: value of each answer, 0 to 1.
        clusters: the video that each answer is about.
        families: the family of each answer; all families weigh the same, however many answers they have.

    Raises:
        ValueError: no answers, or not as many clusters or families.
    """
    _check(len(shares), len(clusters), len(families))
    mean, parts = _mean_of_means([float(share) for share in shares], families)
    answers, variance = len(shares), _variance(parts, clusters)
    independent = mean * (1 - mean) / max(1, answers - 1)  # the variance if every answer were a cluster
    worth = min(answers, answers * independent / variance) if variance > ROUNDING else len(set(clusters))
    return wilson(mean, worth)


def clustered_mean(values: Sequence[float], clusters: Sequence[Hashable], low: float, high: float) -> Interval:
    """Return the mean with its interval from the spread between clusters; over one cluster, all that is possible.

    Args:
        values: value of each answer.
        clusters: the video that each answer is about.
        low: least possible value.
        high: largest possible value.

    Raises:
        ValueError: no answers, or not as many clusters.
    """
    return clustered_mean_of_means(values, clusters, [None] * len(values), low, high)


def clustered_mean_of_means(
    values: Sequence[float], clusters: Sequence[Hashable], families: Sequence[Hashable], low: float, high: float
) -> Interval:
    """Return the plain mean of the families' means, with an interval as `clustered_mean` has it.

    Args:
        values: value of each answer.
        clusters: the video that each answer is about; it may have answers of several families.
        families: the family of each answer; all families weigh the same, however many answers they have.
        low: least possible value.
        high: largest possible value.

    Raises:
        ValueError: no answers, or not as many clusters or families.
    """
    _check(len(values), len(clusters), len(families))
    mean, parts = _mean_of_means(values, families)
    if len(set(clusters)) == 1:
        return Interval(mean, low, high)
    half = Z * math.sqrt(_variance(parts, clusters))
    return Interval(mean, max(low, mean - half), min(high, mean + half))


def _mean_of_means(values: Sequence[float], families: Sequence[Hashable]) -> tuple[float, list[float]]:
    """Return the plain mean of the families' means, and what each value adds to its deviation."""
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
    """Return the variance of an estimate from what each answer adds to its deviation."""
    sums: dict[Hashable, float] = defaultdict(float)
    for part, cluster in zip(parts, clusters, strict=True):
        sums[cluster] += part
    groups = len(sums)
    correction = groups / (groups - 1) if groups > 1 else 1.0
    return correction * sum(total**2 for total in sums.values())
