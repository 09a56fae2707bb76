"""Scores from answers on disk: what each is over, and what questions about one video are worth."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from datamodules.benchmarks import Benchmark, LoadedBenchmark
from datamodules.records import Record, Turn
from lightning_modules.scoring.evaluation import FamilyScores
from lightning_modules.scoring.interval import (
    clustered_mean,
    clustered_mean_of_means,
    clustered_mean_of_shares,
    clustered_share,
    wilson,
)
from lightning_modules.scoring.metrics import with_usual
from lightning_modules.scoring.scores import as_table, counts, scored, scored_benchmark, scores

USUAL = with_usual([])


def answer(family, video, right, answered=True):
    return {"family": family, "video": video, "right": right, "answered": answered}


ANSWERS = {
    "q1": answer("colour", "a.mp4", True),
    "q2": answer("colour", "a.mp4", True),
    "q3": answer("colour", "b.mp4", False),
    "q4": answer("count", "b.mp4", True),
    "q5": answer("count", "c.mp4", False, answered=False),
}


def bounds(score):
    return score.interval.low, score.interval.high


def test_values_are_those_that_are_logged():
    logged = FamilyScores(["colour", "count"], USUAL)
    for row in ANSWERS.values():
        logged.add(row)
    results = scores(ANSWERS, [], USUAL)
    assert {name: score.interval.value for name, score in results.items()} == logged.figures(logged.counts, {})
    assert {name: (score.questions, score.videos) for name, score in results.items()} == {
        "exact_match/colour": (3, 2), "exact_match/count": (2, 2), "exact_match/mean": (5, 3)
    }  # fmt: skip


def test_intervals_are_clustered_by_video():
    results = scores(ANSWERS, [], USUAL)
    assert results["exact_match/colour"].interval == clustered_share([True, True, False], "aab")
    whole = clustered_mean_of_shares([True, True, False, True, False], "aabbc", "oooun")
    assert results["exact_match/mean"].interval != whole  # of other families
    assert results["exact_match/mean"].interval == clustered_mean_of_shares(
        [True, True, False, True, False], "aabbc", "ooouu"
    )


def test_log_likelihoods_have_intervals_clustered_by_video_and_a_plain_mean_of_families():
    values = {"q1": -0.1, "q2": -0.3, "q3": -2.0, "q4": -1.0, "q5": -0.5}
    results = scores({name: row | {"log_likelihood": values[name]} for name, row in ANSWERS.items()}, [], USUAL)
    assert results["log_likelihood/colour"].interval == clustered_mean([-0.1, -0.3, -2.0], "aab", -math.inf, 0)
    mean = results["log_likelihood/mean"].interval
    assert mean == clustered_mean_of_means([*values.values()], "aabbc", "ooouu", -math.inf, 0)
    assert mean.value == pytest.approx((-0.8 - 0.75) / 2) and mean.high <= 0
    older = list(scores(ANSWERS, [], USUAL))
    assert older == [name for name in results if name.startswith("exact_match")]
    known = {name: row | ({} if name == "q3" else {"log_likelihood": -1}) for name, row in ANSWERS.items()}
    partly = scores(known, [], USUAL)
    assert "log_likelihood/colour" not in partly, "over one video nothing is known of its spread"
    assert partly["log_likelihood/count"].questions == 2 and partly["log_likelihood/mean"].questions == 4


def test_questions_without_a_video_are_clusters_of_their_own():
    right = [True, False, True, True]
    answers = {f"q{number}": answer("text", "", mark) for number, mark in enumerate(right)}
    (score, mean) = scores(answers, [], USUAL).values()
    assert score.videos == 4
    for bound, expected in zip(bounds(score), bounds(replace(mean, interval=wilson(3 / 4, 4))), strict=True):
        assert bound == pytest.approx(expected)


def test_of_one_video_the_interval_is_that_of_one_answer():
    for right in ([True] * 5, [True, True, False, False, False]):
        answers = {f"q{number}": answer("colour", "a.mp4", mark) for number, mark in enumerate(right)}
        score = scores(answers, [], USUAL)["exact_match/colour"]
        assert score.interval == wilson(sum(right) / 5, 1) and (score.questions, score.videos) == (5, 1)


@pytest.fixture
def benchmark():
    """Two questions about a clip, one about another, and two about one that is missing."""

    def record(number, video):
        return Record(f"b/{number}", Path(video), (Turn("?", "yes"),), f"b/{'colour' if number < 5 else 'lost'}")

    asked = [record(1, "a.mp4"), record(2, "a.mp4"), record(3, "b.mp4")]
    described = Benchmark("b", "test", questions=None, videos="", types=None)
    return LoadedBenchmark(described, asked, [record(4, "c"), record(5, "c")], ["c"], [])


def test_a_benchmark_is_scored_over_all_its_questions_and_over_the_answered_ones(benchmark):
    answers = {
        "b/1": answer("b/colour", "a.mp4", True),
        "b/2": answer("b/colour", "a.mp4", False, answered=False),  # no answer; b/3 was not asked: it cannot be read
    }
    results = scores(answers, [benchmark], USUAL)
    assert results.keys() == {"exact_match/b/colour", "accuracy/b", "accuracy_of_answered/b"}
    assert results["accuracy/b"].interval == clustered_share([True, False, False, False, False], "aabcc")
    assert (results["accuracy/b"].questions, results["accuracy/b"].videos) == (5, 3)
    assert results["accuracy_of_answered/b"].interval == wilson(1, 1)
    assert counts(scored_benchmark(answers, benchmark), 5) == {
        "questions": 5, "videos": 3, "answered": 1, "unanswered": 4
    }  # fmt: skip


def test_no_answers_have_no_scores(benchmark):
    assert scores({}, [], USUAL) == {} and counts(scored({}), 3)["unanswered"] == 3
    nothing = scores({}, [benchmark], USUAL)
    assert nothing.keys() == {"accuracy/b"} and nothing["accuracy/b"].interval == wilson(0, 3)
    assert len(as_table({}).splitlines()) == 2


def test_the_table_has_a_row_per_score():
    rows = as_table(scores(ANSWERS, [], USUAL)).splitlines()
    assert len({row.count("|") for row in rows}) == 1 and len(rows) == 2 + 3
    assert rows[3].startswith("| exact_match/count | 0.5000 [0.0") and rows[3].endswith("] | 2 | 2 |")
