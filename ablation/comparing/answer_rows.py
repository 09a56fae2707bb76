"""The answers of a run, question by question, and who says how good they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ablation.judging.answers import ids_of_pair
from ablation.judging.judge import BEST_SCORE, POINTS
from ablation.judging.judgements import JudgedAnswer, read_judgements
from datamodules.answer_kind import Aspect
from lightning_modules.runs.folder import JUDGEMENTS
from lightning_modules.scoring.answer_store import AnswerStore, Row, read_rows
from lightning_modules.scoring.metrics import ExactMatch, LogLikelihood, Metric
from lightning_modules.scoring.unit import PERCENT, Unit

TENTHS = 10  # of a point, in which scores of a judge are counted


class LeftOutError(ValueError):
    """Why a folder is not compared."""


@dataclass(frozen=True)
class Question:
    """What was asked: runs are compared over what is equal in all of this.

    Attributes:
        id: id of the question.
        video: video that it is about, below the folder of the data; None if the answers do not name it.
        text: the question itself.
        reference: the right answer.
        family: family that it is counted under.
        aspect: aspect of the answer that is judged; None if the question is whether the answer is right.
    """

    id: str
    video: str | None
    text: str
    reference: str
    family: str
    aspect: str | None = None

    @property
    def cluster(self) -> str:
        """Its video, which other questions may be about; the question itself where there is none."""
        return self.video or self.id


@dataclass(frozen=True)
class Answered:
    """Questions of a test.

    Attributes:
        marks: question -> marks of its answer, of `full`: 1 of 1 if it is right.
        full: marks of the best answer.
        unit: how marks are shown.
        unjudged: questions whose answers a judge has said nothing readable about.
        judge: who gives the marks; None for the comparison of the test itself.
        rows: question -> its answer on disk, which further metrics measure; empty where a judge says how good answers
            are.
    """

    marks: Mapping[Question, int]
    full: int = 1
    unit: Unit = PERCENT
    unjudged: frozenset[Question] = frozenset()
    judge: str | None = None
    rows: Mapping[Question, Row] = field(default_factory=dict)

    @property
    def asked(self) -> set[Question]:
        """All of them."""
        return {*self.marks, *self.unjudged}

    def values(self, metric: Metric) -> dict[Question, float]:
        """Return what each answer is worth by a further metric, for the questions that it says something about.

        Raises:
            ValueError: an answer on disk lacks what the metric reads.
        """
        try:
            values = {question: metric.value(row) for question, row in self.rows.items()}
        except (KeyError, TypeError) as error:
            raise ValueError(f"{metric.name} cannot be computed from answers/test.jsonl: {error!r}") from None
        return {question: value for question, value in values.items() if value is not None}


def read_answered(folder: Path, root: str, judge: str | None, points: bool = False, counted: object = None) -> Answered:
    """Read the answers of a run.

    Args:
        folder: of the run.
        root: of its data: videos are named below it.
        judge: name of a file of judgements, without its ending; None if the answers say themselves what is right.
        points: whether the judge's scores count, those of each aspect, and not what it says is right.
        counted: how many answers the scores of the test are of, if that is known.

    Raises:
        LeftOutError: there are none, they cannot be read, or they are not those that were judged.
    """
    path = AnswerStore.of_run(folder).path
    if not path.is_file():
        raise LeftOutError("it has no answers to a test: there is no answers/test.jsonl")
    try:
        content = path.read_bytes()
        if content and not content.endswith(b"\n"):
            raise LeftOutError("answers/test.jsonl ends in the middle of an answer; test the run again")
        rows = read_rows(path)
        answers = {_question(row, root): row for row in rows}
        right = {question: int(ExactMatch().value(row)) for question, row in answers.items()}
        answered = Answered(right, rows=answers)
        answered.values(LogLikelihood())  # whose damage leaves the run out
    except LeftOutError:
        raise
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise LeftOutError(f"answers/test.jsonl cannot be read: {error}") from None
    if isinstance(counted, int) and len(rows) != counted:
        raise LeftOutError(
            f"answers/test.jsonl has {len(rows)} answers, of which test_scores.json counted {counted}; test the run "
            "again"
        )
    if not right:
        raise LeftOutError("answers/test.jsonl has no answer")
    if len({question.id for question in right}) != len(rows):
        raise LeftOutError("answers/test.jsonl has two answers to one question")
    if judge is None:
        return answered
    marked = _scored if points else _judged
    return marked(*_judgements(folder / JUDGEMENTS / path.stem, judge, answers))


Judgements = dict[Question, list[JudgedAnswer]]  # of each question, one per aspect


def _judgements(folder: Path, judge: str, rows: Mapping[Question, Row]) -> tuple[str, Judgements]:
    """Return what the judge is called, and what it said of each question; nothing of some, perhaps."""
    path = folder / f"{judge}.jsonl"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in folder.glob("*.jsonl"))) or "none"
        raise LeftOutError(f"it has no judgements by {judge}; there are: {known}")
    try:
        name, judgements = read_judgements(path)
    except ValueError as error:
        raise LeftOutError(str(error)) from None
    found: Judgements = {question: [] for question in rows}
    asked = {question.id: question for question in rows}
    for each in judgements.values():
        if each.id in asked:
            found[asked[each.id]].append(each)
    if any(not _is_about(each, rows[question]) for question, several in found.items() for each in several):
        raise LeftOutError(f"{path.name} judges other answers than those that are there now; judge them anew")
    consistent = {
        ids[1]
        for question, several in found.items()
        if (ids := ids_of_pair(question.id)) and any(each.aspect == Aspect.CONSISTENCY for each in several)
    }  # which were judged with the first of their pair
    return name, {question: several for question, several in found.items() if several or question.id not in consistent}


def _judged(name: str, found: Judgements) -> Answered:
    """Take what the judge says is right; of answers that it scored for aspects alone it was not asked."""
    marks = {
        question: int(each.right)
        for question, several in found.items()
        for each in several
        if each.aspect is None and each.right is not None
    }
    if not marks:
        scored = any(each.score is not None for several in found.values() for each in several)
        hint = "; --points compares its scores" if scored else ""
        raise LeftOutError(f"{name} says of no answer whether it is right{hint}")
    asked = {question for question, several in found.items() if not several or any(not each.aspect for each in several)}
    return Answered(marks, unjudged=frozenset(asked - marks.keys()), judge=name)


def _scored(name: str, found: Judgements) -> Answered:
    """Take the judge's scores; those of an aspect are a family of their own."""
    marks: dict[Question, int] = {}
    unjudged = {question for question, several in found.items() if not several}
    for question, several in found.items():
        for each in several:
            of = replace(question, family=_aspect_family(question.family, each.aspect), aspect=each.aspect)
            if each.score is None:
                unjudged.add(of)
            else:
                marks[of] = round(TENTHS * each.score)
    if not marks:
        raise LeftOutError(f"{name} gives no answer a score")
    return Answered(marks, TENTHS * BEST_SCORE, POINTS, frozenset(unjudged), name)


def _aspect_family(family: str, aspect: str | None) -> str:
    """Return what an aspect is counted under: itself, below the benchmark if there is one."""
    benchmark, slash, _ = family.partition("/")
    return family if aspect is None else f"{benchmark}{slash}{aspect}" if slash else aspect


def _is_about(judged: JudgedAnswer, row: Row) -> bool:
    return judged.prediction == row.get("prediction") and judged.reference == row.get("reference")


def _question(row: Mapping[str, Any], root: str) -> Question:
    video = row.get("video")
    if video is not None:
        place = Path(str(video))
        video = str(place.relative_to(root) if root and place.is_relative_to(root) else place.name)
    text, reference = str(row.get("question", "")), str(row.get("reference", ""))
    return Question(str(row["id"]), video, text, reference, str(row["family"]))
