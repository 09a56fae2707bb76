"""Exact match after normalisation, per family."""

import pytest

from datamodules.answer_kind import matches
from datamodules.batch import SampleFacts
from datamodules.records import Choice, FreeAnswer
from lightning_modules.scoring.evaluation import Answer, FamilyScores
from lightning_modules.scoring.metrics import is_headline, with_usual


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


def answered(family, verdict, likelihood=None):
    """Return an answer as it stands on disk; a verdict of None is a reply that is no answer."""
    row = {"family": family, "right": verdict is True, "answered": verdict is not None}
    return row if likelihood is None else row | {"log_likelihood": likelihood}


def figures(families, answers, questions=(), metrics=()):
    scores = FamilyScores(families, with_usual(metrics))
    for answer in answers:
        scores.add(answer)
    return scores.figures(scores.counts, dict(questions))


def test_shares_are_per_family_and_the_mean_is_over_families():
    answers = [answered("colour", right) for right in (True, True, True, False)] + [answered("count", False)]
    assert figures(["colour", "count", "unseen"], answers) == {
        "exact_match/colour": 0.75, "exact_match/count": 0.0, "exact_match/mean": 0.375
    }  # fmt: skip
    assert figures(["colour"], []) == {}


def test_log_likelihoods_are_means_over_the_questions_that_have_one():
    known = (("colour", -1.0), ("colour", 0.0), ("colour", None), ("count", -2.0), ("free", None))
    answers = [answered(family, True, likelihood) for family, likelihood in known]
    results = figures(["colour", "count", "free"], answers)
    assert {name: figure for name, figure in results.items() if name.startswith("log_likelihood")} == {
        "log_likelihood/colour": -0.5, "log_likelihood/count": -2.0, "log_likelihood/mean": -1.25
    }  # fmt: skip
    assert not any(name.endswith("/mean") for name in figures(["colour", "count", "free"], answers, {"a": {"a/x": 1}}))


def test_accuracy_is_over_all_questions_and_over_the_answered_ones():
    verdicts = [("a/x", True), ("a/x", False), ("a/y", None), ("a/y", True), ("b/z", None)]
    answers = [answered(family, verdict) for family, verdict in verdicts]
    families, shares = ["a/x", "a/y", "b/z"], {"exact_match/a/x": 0.5, "exact_match/a/y": 0.5, "exact_match/b/z": 0}
    assert figures(families, answers, {"a": {"a/x": 2, "a/y": 3}, "b": {"b/z": 1}}) == shares | {
        "accuracy/a": 2 / 5, "accuracy_of_answered/a": 2 / 3, "unanswered/a": 2,
        "accuracy/b": 0, "unanswered/b": 1,
    }, "no mean of what benchmarks have mixed"  # fmt: skip
    assert figures(families, answers) == shares | {"exact_match/mean": 1 / 3}


def test_the_whole_is_looked_at_before_its_parts():
    names = ["accuracy/a", "accuracy_of_answered/a", "exact_match/a/x", "exact_match/mean", "loss", "unanswered/a"]
    assert [name for name in names if is_headline(name)] == ["accuracy/a", "exact_match/mean"]


def test_a_family_of_which_nothing_could_be_asked_counts_as_not_answered():
    assert figures(["a/x"], [answered("a/x", True)], {"a": {"a/x": 1, "a/missing": 3}}) == {
        "exact_match/a/x": 1, "accuracy/a": 0.25, "accuracy_of_answered/a": 1, "unanswered/a": 3
    }  # fmt: skip


def test_an_answer_is_compared_as_its_kind_asks():
    def answer(kind, prediction):
        return Answer(SampleFacts("id", "a.mp4", "all", (), "?", "B", kind), prediction)

    assert [answer(Choice(["x", "y"]), reply).verdict for reply in ("(B) y", "A", "x or y")] == [True, False, None]
    assert not answer(Choice(["x", "y"]), "").right
    assert [answer(FreeAnswer(), reply).verdict for reply in ("b.", "(B) y")] == [True, False]
