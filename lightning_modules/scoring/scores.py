"""Scores of a test from its answers on disk, each with its interval and what it is over.

Names and values are those of `FamilyScores.figures`, which are logged; on disk are the answers of all processes and of
every attempt, each with its video.
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
    """A question as scores see it.

    Attributes:
        family: family that it is counted under.
        cluster: its video, which other questions may be about; the question itself where it has no video.
        answer: its answer on disk, or `UNASKED`.
    """

    family: str
    cluster: str
    answer: Mapping[str, Any]


@dataclass(frozen=True)
class Score:
    """A figure.

    Attributes:
        interval: the figure and its bounds.
        questions: how many questions it is over.
        videos: how many videos these are about.
    """

    interval: Interval
    questions: int
    videos: int


def scored(answers: Mapping[str, Row]) -> list[Scored]:
    """Return the questions that were asked, by their answers on disk."""
    return [Scored(row["family"], row["video"] or identity, row) for identity, row in answers.items()]


def scored_benchmark(answers: Mapping[str, Row], benchmark: LoadedBenchmark) -> list[Scored]:
    """Return all questions of a benchmark, also those not asked: their clip is missing or cannot be read."""
    return [
        Scored(record.family, str(record.video), answers.get(record.id, UNASKED))
        for record in [*benchmark.records, *benchmark.unanswered]
    ]


def scores(
    answers: Mapping[str, Row], benchmarks: Sequence[LoadedBenchmark], metrics: Sequence[Metric]
) -> dict[str, Score]:
    """Return every figure that has an interval by its name, such as `exact_match/colour`; none over no questions.

    Args:
        answers: question id -> its answer on disk.
        benchmarks: benchmarks that the questions are from, if any.
        metrics: by which answers are measured.
    """
    asked = scored(answers)
    by_family = groupby(sorted(asked, key=lambda question: question.family), key=lambda question: question.family)
    families = {family: [*questions] for family, questions in by_family}
    whole = {benchmark.description.name: scored_benchmark(answers, benchmark) for benchmark in benchmarks}
    found: dict[str, Score | None] = {}
    for metric in metrics:
        found |= {f"{metric.name}/{family}": _score(metric, group) for family, group in families.items()}
        if not benchmarks:
            found[f"{metric.name}/mean"] = _score(metric, asked, by_family=True)
        for name, questions in whole.items() if metric.benchmark else ():
            answered = [question for question in questions if question.answer["answered"]]
            found[f"{metric.benchmark}/{name}"] = _score(metric, questions)
            found[f"{metric.benchmark}_of_answered/{name}"] = _score(metric, answered)
    return {name: score for name, score in found.items() if score is not None}


def _score(metric: Metric, questions: Sequence[Scored], by_family: bool = False) -> Score | None:
    """Return a metric's mean over questions, or the plain mean of its families' means; None if it has no interval."""
    values = [(question, value) for question in questions if (value := metric.value(question.answer)) is not None]
    videos = [question.cluster for question, _ in values]
    families = [question.family if by_family else None for question, _ in values]
    interval = metric.interval([value for _, value in values], videos, families) if values else None
    return Score(interval, len(values), len(set(videos))) if interval else None


def counts(questions: Sequence[Scored], number: int) -> dict[str, int]:
    """Return how many questions were answered and not, and how many videos they are about.

    Args:
        questions: as they are scored.
        number: how many there are, also counting those that were not asked.
    """
    answered = sum(question.answer["answered"] for question in questions)
    videos = len({question.cluster for question in questions})
    return {"questions": number, "videos": videos, "answered": answered, "unanswered": number - answered}


def as_table(found: Mapping[str, Score]) -> str:
    """Return the scores as a table in markdown."""
    lines = ["| score | value [95 % interval] | questions | videos |", "| --- | --- | ---: | ---: |"]
    for name, score in found.items():
        value, low, high = score.interval.value, score.interval.low, score.interval.high
        lines.append(f"| {name} | {value:.4f} [{low:.4f}, {high:.4f}] | {score.questions} | {score.videos} |")
    return "\n".join(lines)
