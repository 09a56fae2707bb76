"""Exact match after normalisation, per family."""

import pytest

from datamodules.answer_kind import matches
from datamodules.batch import SampleFacts
from datamodules.records import Choice, FreeAnswer
from lightning_modules.scoring import is_headline
from lightning_modules.scoring.evaluation import Answer, FamilyScores


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


def test_log_likelihoods_are_means_over_the_questions_that_have_one():
    scores = FamilyScores(["colour", "count", "free"])
    for family, likelihood in (("colour", -1.0), ("colour", 0.0), ("colour", None), ("count", -2.0), ("free", None)):
        scores.add(family, True, likelihood)
    assert scores.log_likelihoods(scores.counts) == {"colour": -0.5, "count": -2.0, "mean": -1.25}
    figures = scores.figures(scores.counts, {})
    assert figures["log_likelihood/mean"] == -1.25 and "log_likelihood/free" not in figures
    assert not any(name.endswith("/mean") for name in scores.figures(scores.counts, {"a": {"a/x": 1}}))


def test_accuracy_is_over_all_questions_and_over_the_answered_ones():
    scores = FamilyScores(["a/x", "a/y", "b/z"])
    for family, verdict in [("a/x", True), ("a/x", False), ("a/y", None), ("a/y", True), ("b/z", None)]:
        scores.add(family, verdict)
    questions = {"a": {"a/x": 2, "a/y": 3}, "b": {"b/z": 1}}
    assert scores.accuracies(scores.counts, questions) == {
        "accuracy/a": 2 / 5, "accuracy_of_answered/a": 2 / 3, "unanswered/a": 2,
        "accuracy/b": 0, "unanswered/b": 1,
    }  # fmt: skip
    assert scores.shares(scores.counts) == {"a/x": 0.5, "a/y": 0.5, "b/z": 0, "mean": 1 / 3}
    assert scores.figures(scores.counts, questions) == scores.accuracies(scores.counts, questions) | {
        "exact_match/a/x": 0.5, "exact_match/a/y": 0.5, "exact_match/b/z": 0
    }, "no mean of what benchmarks have mixed"  # fmt: skip
    assert scores.figures(scores.counts, {}) == {
        f"exact_match/{name}": share for name, share in scores.shares(scores.counts).items()
    }


def test_the_whole_is_looked_at_before_its_parts():
    figures = ["accuracy/a", "accuracy_of_answered/a", "exact_match/a/x", "exact_match/mean", "loss", "unanswered/a"]
    assert [name for name in figures if is_headline(name)] == ["accuracy/a", "exact_match/mean"]


def test_a_family_of_which_nothing_could_be_asked_counts_as_not_answered():
    scores = FamilyScores(["a/x"])
    scores.add("a/x", True)
    assert scores.accuracies(scores.counts, {"a": {"a/x": 1, "a/missing": 3}}) == {
        "accuracy/a": 0.25, "accuracy_of_answered/a": 1, "unanswered/a": 3
    }  # fmt: skip


def test_an_answer_is_compared_as_its_kind_asks():
    def answer(kind, prediction):
        return Answer(SampleFacts("id", "a.mp4", "all", (), "?", "B", kind), prediction)

    assert [answer(Choice(["x", "y"]), reply).verdict for reply in ("(B) y", "A", "x or y")] == [True, False, None]
    assert not answer(Choice(["x", "y"]), "").right
    assert [answer(FreeAnswer(), reply).verdict for reply in ("b.", "(B) y")] == [True, False]
