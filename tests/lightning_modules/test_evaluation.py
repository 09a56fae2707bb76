"""Exact match after normalisation, per family."""

import pytest

from lightning_modules.evaluation import FamilyScores, matches


@pytest.mark.parametrize(
    ("prediction", "reference", "same"),
    [
        ("Red.", "red", True),
        (" top  left", "top left", True),
        ("top-left", "top left", True),
        ("reddish", "red", False),
        ("", "red", False),
        ("red red", "red", False),
    ],
)
def test_only_case_space_and_punctuation_are_forgiven(prediction, reference, same):
    assert matches(prediction, reference) is same


def test_shares_are_per_family_and_the_mean_is_over_families():
    scores = FamilyScores(["colour", "count", "unseen"])
    for right in (True, True, True, False):
        scores.add("colour", right)
    scores.add("count", False)
    assert scores.shares(scores.counts) == {"colour": 0.75, "count": 0.0, "mean": 0.375}
    assert FamilyScores(["colour"]).shares(FamilyScores(["colour"]).counts) == {}
