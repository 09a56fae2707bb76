"""Scores of a test from its answers on disk, each with its interval and what it is over.

Names and values are those of `FamilyScores.figures`, which are logged; on disk are the answers of all processes and of
every attempt, each with its video.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from datamodules.benchmarks import LoadedBenchmark
from lightning_modules.scoring import LIKELIHOOD, MEAN
from lightning_modules.scoring.answer_store import Row
from lightning_modules.scoring.interval import (
    Interval,
    clustered_mean_of_means,
    clustered_mean_of_shares,
    clustered_share,
)


@dataclass(frozen=True)
class Scored:
    """A question as scores see it.

    Attributes:
        family: that it is counted under.
        cluster: its video, which other questions may be about; the question itself where there is none.
        right: whether its reply is; False where it has none.
        answered: whether its reply is an answer; False where it has none.
        log_likelihood: of the right answer among all that there may be; None where it is not known.
    """

    family: str
    cluster: str
    right: bool
    answered: bool
    log_likelihood: float | None = None


@dataclass(frozen=True)
class Score:
    """A figure.

    Attributes:
        interval: the figure and its bounds.
        questions: how many it is over.
        videos: how many these are about.
    """

    interval: Interval
    questions: int
    videos: int


def scored(answers: Mapping[str, Row]) -> list[Scored]:
    """Return the questions that were asked, by their answers on disk."""
    return [
        Scored(row["family"], row["video"] or identity, row["right"], row["answered"], row.get(LIKELIHOOD))
        for identity, row in answers.items()
    ]


def scored_benchmark(answers: Mapping[str, Row], benchmark: LoadedBenchmark) -> list[Scored]:
    """Return all questions of a benchmark; not right are those not asked: their clip is missing or cannot be read."""
    nothing = {"right": False, "answered": False}
    return [
        Scored(record.family, str(record.video), row["right"], row["answered"])
        for record in [*benchmark.asked, *benchmark.unanswered]
        for row in [answers.get(record.id, nothing)]
    ]


def scores(answers: Mapping[str, Row], benchmarks: Sequence[LoadedBenchmark]) -> dict[str, Score]:
    """Return every figure that has an interval by its name, such as `exact_match/colour`; none over no questions.

    A mean log-likelihood has none over one video, of whose spread nothing is known.

    Args:
        answers: question id -> its answer on disk.
        benchmarks: that the questions are of, if they are.
    """
    asked = scored(answers)
    groups: dict[str, list[Scored]] = {}
    for each in sorted(asked, key=lambda each: each.family):
        groups.setdefault(f"exact_match/{each.family}", []).append(each)
    for benchmark in benchmarks:
        name, questions = benchmark.description.name, scored_benchmark(answers, benchmark)
        groups[f"accuracy/{name}"] = questions
        groups[f"accuracy_of_answered/{name}"] = [each for each in questions if each.answered]
    found = {
        name: _score(clustered_share([each.right for each in group], clusters(group)), group)
        for name, group in groups.items()
        if group
    }
    if asked and not benchmarks:
        right, families = [each.right for each in asked], [each.family for each in asked]
        found[MEAN] = _score(clustered_mean_of_shares(right, clusters(asked), families), asked)
    return found | _log_likelihoods(asked, mean=not benchmarks)


def _log_likelihoods(asked: Sequence[Scored], mean: bool) -> dict[str, Score]:
    """Return those of each family and, if it is wanted, their plain mean."""
    known = sorted((each for each in asked if each.log_likelihood is not None), key=lambda each: each.family)
    groups = {name: [*group] for name, group in groupby(known, key=lambda each: each.family)}
    if mean:
        groups["mean"] = known
    found = {}
    for name, group in groups.items():
        if len(set(clusters(group))) > 1:
            values = [each.log_likelihood for each in group if each.log_likelihood is not None]
            families = [each.family for each in group]
            interval = clustered_mean_of_means(values, clusters(group), families, -math.inf, 0.0)
            found[f"{LIKELIHOOD}/{name}"] = _score(interval, group)
    return found


def clusters(questions: Sequence[Scored]) -> list[str]:
    """Return the cluster of each."""
    return [each.cluster for each in questions]


def counts(questions: Sequence[Scored], number: int) -> dict[str, int]:
    """Return how many questions were answered and not, and how many videos they are about.

    Args:
        questions: as they are scored.
        number: how many there are, those that were not asked included.
    """
    answered = sum(each.answered for each in questions)
    videos = len(set(clusters(questions)))
    return {"questions": number, "videos": videos, "answered": answered, "unanswered": number - answered}


def as_table(found: Mapping[str, Score]) -> str:
    """Return the scores as a table in markdown."""
    lines = ["| score | value [95 % interval] | questions | videos |", "| --- | --- | ---: | ---: |"]
    for name, score in found.items():
        each = score.interval
        lines.append(
            f"| {name} | {each.value:.4f} [{each.low:.4f}, {each.high:.4f}] | {score.questions} | {score.videos} |"
        )
    return "\n".join(lines)


def _score(interval: Interval, group: Sequence[Scored]) -> Score:
    return Score(interval, len(group), len(set(clusters(group))))
