"""Intervals of figures whose questions come in groups: several about one video are not as good as as many videos."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from statistics import NormalDist, fmean

from ablation.statistics import Interval

Z = NormalDist().inv_cdf(0.975)  # two-sided 95 %
ROUNDING = 1e-15  # what of a variance is left of none


def clustered_share(right: Sequence[bool], clusters: Sequence[Hashable]) -> Interval:
    """Return the share of right answers with Wilson's score interval for as many answers as they are worth.

    That number is what independent answers of the same variance would be: all of them where every cluster has one, and
    never more. Where all are right or all wrong, it is the number of clusters.

    Args:
        right: one per answer.
        clusters: what each answer is about.

    Raises:
        ValueError: no answers, or not as many clusters.
    """
    variance = _variance_of_mean([float(each) for each in right], clusters)
    answers, groups, p = len(right), len(set(clusters)), fmean(right)
    independent = p * (1 - p) / max(1, answers - 1)  # the variance if every answer were a cluster
    n = min(answers, answers * independent / variance) if variance > ROUNDING else groups
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return Interval(p, max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)))


def clustered_mean(values: Sequence[float], clusters: Sequence[Hashable], low: float, high: float) -> Interval:
    """Return the mean with its interval from the spread between clusters; of one cluster, all that is possible.

    Args:
        values: one per answer.
        clusters: what each answer is about.
        low: least possible value.
        high: largest possible value.

    Raises:
        ValueError: no answers, or not as many clusters.
    """
    variance = _variance_of_mean(values, clusters)
    mean = fmean(values)
    if len(set(clusters)) == 1:
        return Interval(mean, low, high)
    half = Z * math.sqrt(variance)
    return Interval(mean, max(low, mean - half), min(high, mean + half))


def _variance_of_mean(values: Sequence[float], clusters: Sequence[Hashable]) -> float:
    if not values or len(values) != len(clusters):
        raise ValueError(f"an interval needs answers and a cluster of each; got {len(values)} and {len(clusters)}")
    mean = fmean(values)
    sums: dict[Hashable, float] = defaultdict(float)
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] += value - mean
    groups = len(sums)
    correction = groups / (groups - 1) if groups > 1 else 1.0
    return correction * sum(each**2 for each in sums.values()) / len(values) ** 2
