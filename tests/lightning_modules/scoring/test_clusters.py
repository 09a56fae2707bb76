"""Intervals of grouped answers against those of single ones, and against simulation."""

import random
from statistics import fmean, stdev

import pytest

from lightning_modules.scoring.interval import clustered_mean, clustered_mean_of_shares, clustered_share, wilson


def share(right):
    """The interval of answers of which none has to do with another."""
    return wilson(fmean(right), len(right))


def test_wilsons_interval_of_a_known_case():
    interval = wilson(0.8, 10)  # the textbook value for 8 of 10
    assert (interval.value, round(interval.low, 4), round(interval.high, 4)) == (0.8, 0.4902, 0.9433)


def test_a_cluster_of_its_own_for_each_answer_is_wilsons_interval():
    for n, right in ((10, 8), (50, 50), (7, 0), (1, 1)):
        answers = [True] * right + [False] * (n - right)
        ours, theirs = clustered_share(answers, range(n)), share(answers)
        assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.value, theirs.low, theirs.high))


def test_an_answer_told_five_times_is_one_answer():
    answers = [True, False, True, True, False, True, False, True, True, True]
    one = clustered_share(answers, range(10))
    five = clustered_share(answers * 5, [*range(10)] * 5)
    assert (five.low, five.high) == pytest.approx((one.low, one.high), abs=0.03)
    assert clustered_share([True] * 50, [n // 10 for n in range(50)]).low == pytest.approx(share([True] * 5).low)
    for answers in ([True] * 9, [True] * 4 + [False] * 5):
        interval = clustered_share(answers, ["one video"] * 9)
        assert interval.high - interval.low > 0.75


def test_the_mean_has_the_usual_standard_error_without_clusters():
    rng = random.Random(0)
    values = [rng.uniform(0, 5) for _ in range(100)]
    interval = clustered_mean(values, range(100), 0, 5)
    assert interval.high - interval.value == pytest.approx(1.96 * stdev(values) / 10, rel=1e-3)
    assert clustered_mean([5.0] * 3, "abc", 0, 5).high == 5
    whole = clustered_mean([1.0, 4.0], ["one", "one"], 0, 5)
    assert (whole.low, whole.high) == (0, 5)


def test_clustered_intervals_cover_the_truth_about_as_often_as_they_say():
    rng, covered = random.Random(0), {"share": 0, "mean": 0, "share without clusters": 0}
    for _ in range(600):
        videos = [rng.choice([0.1, 0.9]) for _ in range(60)]
        right = [rng.random() < p for p in videos for _ in range(6)]
        clusters = [video for video in range(60) for _ in range(6)]
        for name, interval in {
            "share": clustered_share(right, clusters),
            "mean": clustered_mean([float(mark) for mark in right], clusters, 0, 1),
            "share without clusters": share(right),
        }.items():
            covered[name] += interval.low <= 0.5 <= interval.high
    assert 550 <= covered["share"] <= 590 and 545 <= covered["mean"] <= 590
    assert covered["share without clusters"] < 450


def test_the_interval_covers_nominal_95_percent_and_found_90_where_few_are_wrong_and_those_alike():
    """The hardest of several cases: 30 videos, 5 % wrong, and mostly all or none of the answers about a video."""
    rng, covered = random.Random(1), 0
    for _ in range(1500):
        videos = [rng.betavariate(0.95 * 0.3, 0.05 * 0.3) for _ in range(30)]
        right = [rng.random() < p for p in videos for _ in range(4)]
        interval = clustered_share(right, [video for video in range(30) for _ in range(4)])
        covered += interval.low <= 0.95 <= interval.high
    assert 0.88 <= covered / 1500 <= 0.93


def test_the_mean_of_shares_counts_families_alike_and_is_a_share_where_there_is_one():
    right, clusters = [True, True, True, False, False, True], [0, 0, 1, 1, 2, 2]
    assert clustered_mean_of_shares(right, clusters, ["all"] * 6) == clustered_share(right, clusters)
    mean = clustered_mean_of_shares(right, clusters, ["a", "a", "a", "a", "b", "b"])
    assert mean.value == (3 / 4 + 1 / 2) / 2 and mean.low < mean.value < mean.high
    for wrong, count in ((clusters[1:], 5), (clusters, 6)):
        with pytest.raises(ValueError, match=f"got 6 and {count} and 1"):
            clustered_mean_of_shares(right, wrong, ["a"])


def test_a_mean_is_as_unsure_as_its_small_family_makes_it():
    right, families = [True, False, *[True, False] * 50], ["small"] * 2 + ["large"] * 100
    mean, whole = clustered_mean_of_shares(right, range(102), families), clustered_share(right, range(102))
    assert mean.value == whole.value == 0.5
    assert mean.high - mean.low > 3 * (whole.high - whole.low)


def test_the_interval_of_a_mean_over_families_covers_nominal_95_percent_and_found_94():
    """Of 600 simulated tests, 60 videos each; families of unlike size and difficulty, answers alike within a video."""
    rng, covered, apart = random.Random(0), 0, 0
    families = ["easy", "hard", "hard", "hard", "hard"]
    for _ in range(600):
        rows = [
            (rng.random() < video + (0.35 if family == "easy" else -0.25), number, family)
            for number in range(60)
            for video in [rng.choice([0.3, 0.6])]
            for family in families
        ]
        right, clusters, of_family = ([*column] for column in zip(*rows, strict=True))
        truth = 0.45 + (0.35 - 0.25) / 2
        interval = clustered_mean_of_shares(right, clusters, of_family)
        covered += interval.low <= truth <= interval.high
        whole = clustered_share(right, clusters)  # another figure, in which the large family counts four times
        apart += not whole.low <= truth <= whole.high
    assert 550 <= covered <= 590, covered
    assert apart > 300


def test_unequal_or_no_answers():
    with pytest.raises(ValueError, match="got 0 and 0"):
        clustered_share([], [])
    with pytest.raises(ValueError, match="got 2 and 1"):
        clustered_mean([1.0, 2.0], ["a"], 0, 5)
