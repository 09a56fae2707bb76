"""Intervals against scipy-free closed facts and against simulation."""

import random

import pytest

from ablation.statistics import paired_difference, share


def test_wilson_interval_of_a_known_case():
    # 8 of 10: the textbook value of Wilson's score interval.
    interval = share([True] * 8 + [False] * 2)
    assert (interval.value, round(interval.low, 4), round(interval.high, 4)) == (0.8, 0.4902, 0.9433)


def test_the_share_of_none_or_all_right_still_has_a_width():
    assert share([True] * 50).low < 1 == share([True] * 50).high
    assert share([False] * 50).high > 0 == share([False] * 50).low


def test_the_paired_interval_covers_the_truth_about_as_often_as_it_says():
    rng, covered = random.Random(0), 0
    for _ in range(1000):
        base = [rng.random() < 0.7 for _ in range(200)]
        ours = [right if rng.random() < 0.8 else rng.random() < 0.45 for right in base]
        truth = 0.2 * (0.45 - 0.7)
        interval = paired_difference(ours, base)
        covered += interval.low <= truth <= interval.high
    assert 930 <= covered <= 975


def test_pairing_makes_a_difference_sharper():
    base = [True, False] * 100
    ours = base[:-10] + [False] * 10
    paired, unpaired = paired_difference(ours, base), paired_difference(list(reversed(ours)), base)
    assert paired.high - paired.low < unpaired.high - unpaired.low


def test_unequal_or_empty_answers_are_refused():
    with pytest.raises(ValueError, match="got 1 and 2"):
        paired_difference([True], [True, False])
    with pytest.raises(ValueError, match="at least one"):
        share([])
