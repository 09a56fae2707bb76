"""Scores of a test from its answers on disk, each with its interval and number of questions and videos.

Names and values are those of the logged `FamilyScores.figures`, but from the answers of all processes and attempts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from datamodules.benchmarks import LoadedBenchmark
from lightning_modules.scoring.answer_store import Row
from lightning_modules.scoring.interval import Interval
from lightning_modules.scoring.metrics import UNASKED, Metric


@dataclass(frozen=True)
class Scored:
    """A question with its answer.

    Attributes:
        family: family of the question.
        cluster: path of its video, or the id of the question if it has none.
        answer: its answer on disk, or `UNASKED`.
    """

    family: str
    cluster: str
    answer: Mapping[str, Any]


@dataclass(frozen=True)
class Score:
    """A score.

    Attributes:
        interval: value of the score and its bounds.
        questions: number of questions.
        videos: number of videos of these questions.
    """

    interval: Interval
    questions: int
    videos: int


def scored(answers: Mapping[str, Row]) -> list[Scored]:
    """Return the questions that were asked, with their answers on disk."""
    return [Scored(row["family"], row["video"] or identity, row) for identity, row in answers.items()]


def scored_benchmark(answers: Mapping[str, Row], benchmark: LoadedBenchmark) -> list[Scored]:
    """Return all questions of a benchmark, also those not asked because their clip is missing or unreadable."""
    return [
        Scored(record.family, str(record.video), answers.get(record.id, UNASKED))
        for record in [*benchmark.records, *benchmark.unanswered]
    ]


def scores(
    answers: Mapping[str, Row], benchmarks: Sequence[LoadedBenchmark], metrics: Sequence[Metric]
) -> dict[str, Score]:
    """Return name -> score, such as `exact_match/colour`, for all scores that have an interval.

    Args:
        answers: question id -> answer on disk.
        benchmarks: benchmarks of the questions, if any.
        metrics: metrics of the answers.
    """
    rows = scored(answers)
    by_family = groupby(sorted(rows, key=lambda question: question.family), key=lambda question: question.family)
    families = {family: [*questions] for family, questions in by_family}
    whole = {benchmark.description.name: scored_benchmark(answers, benchmark) for benchmark in benchmarks}
    results: dict[str, Score | None] = {}
    for metric in metrics:
        results |= {f"{metric.name}/{family}": _score(metric, group) for family, group in families.items()}
        if not benchmarks:
            results[f"{metric.name}/mean"] = _score(metric, rows, by_family=True)
        for name, questions in whole.items() if metric.benchmark else ():
            answered = [question for question in questions if question.answer["answered"]]
            results[f"{metric.benchmark}/{name}"] = _score(metric, questions)
            results[f"{metric.benchmark}_of_answered/{name}"] = _score(metric, answered)
    return {name: score for name, score in results.items() if score is not None}


def _score(metric: Metric, questions: Sequence[Scored], by_family: bool = False) -> Score | None:
    """Return a metric's mean over questions, or the unweighted mean of the families' means; None without interval."""
    values = [(question, value) for question in questions if (value := metric.value(question.answer)) is not None]
    videos = [question.cluster for question, _ in values]
    families = [question.family if by_family else None for question, _ in values]
    interval = metric.interval([value for _, value in values], videos, families) if values else None
    return Score(interval, len(values), len(set(videos))) if interval else None


def counts(questions: Sequence[Scored], number: int) -> dict[str, int]:
    """Return the numbers of questions, videos, answered and unanswered questions.

    Args:
        questions: scored questions.
        number: number of all questions, including those that were not asked.
    """
    answered = sum(question.answer["answered"] for question in questions)
    videos = len({question.cluster for question in questions})
    return {"questions": number, "videos": videos, "answered": answered, "unanswered": number - answered}


def as_table(scores: Mapping[str, Score]) -> str:
    """Return scores as a Markdown table."""
    lines = ["| score | value [95 % interval] | questions | videos |", "| --- | --- | ---: | ---: |"]
    for name, score in scores.items():
        value, low, high = score.interval.value, score.interval.low, score.interval.high
        lines.append(f"| {name} | {value:.4f} [{low:.4f}, {high:.4f}] | {score.questions} | {score.videos} |")
    return "\n".join(lines)
