"""The answers of a run, question by question, with the marks of the test or of a judge."""

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
from lightning_modules.scoring.metrics import PERCENT, ExactMatch, LogLikelihood, Metric, Unit

TENTHS = 10  # of a point, in which scores of a judge are counted


class LeftOutError(ValueError):
    """The reason why a folder is not compared."""


@dataclass(frozen=True)
class Question:
    """A question of a test. Runs are compared over questions that are equal in all attributes.

    Attributes:
        id: id of the question.
        video: path of its video below the data folder; None if the answers do not name it.
        text: text of the question.
        reference: right answer.
        family: family of questions that its score is part of.
        aspect: judged aspect of the answer; None if the answer is right or wrong.
    """

    id: str
    video: str | None
    text: str
    reference: str
    family: str
    aspect: str | None = None

    @property
    def cluster(self) -> str:
        """Cluster of the question: its video, or the question itself without one."""
        return self.video or self.id


@dataclass(frozen=True)
class Answered:
    """Questions of a test with the marks of their answers.

    Attributes:
        marks: marks of the answers: 1 of 1 if right, or the score of a judge.
        full: marks of the best answer.
        unit: unit in which marks are shown.
        unjudged: questions whose answers a judge has not judged readably.
        judge: name of the judge; None for the test's own comparison.
        rows: stored answers, for further metrics; empty with a judge.
    """

    marks: Mapping[Question, int]
    full: int = 1
    unit: Unit = PERCENT
    unjudged: frozenset[Question] = frozenset()
    judge: str | None = None
    rows: Mapping[Question, Row] = field(default_factory=dict)

    @property
    def questions(self) -> set[Question]:
        """All questions, judged or not."""
        return {*self.marks, *self.unjudged}

    def values(self, metric: Metric) -> dict[Question, float]:
        """Return the values of a further metric, for the questions to which it applies.

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
        folder: run folder.
        root: data folder, which is removed from the paths of videos.
        judge: name of a file of judgements, without its ending; None for the test's own comparison.
        points: whether to take the judge's scores, by aspect, instead of its right and wrong.
        counted: number of answers in the scores of the test, if known.

    Raises:
        LeftOutError: there are no answers, they cannot be read, or others were judged.
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
        answered.values(LogLikelihood())  # fails here if the stored log-likelihoods are damaged
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


Judgements = dict[Question, list[JudgedAnswer]]  # one per aspect


def _judgements(folder: Path, judge: str, rows: Mapping[Question, Row]) -> tuple[str, Judgements]:
    """Return the name of the judge, and its judgements of every question; questions may have none."""
    path = folder / f"{judge}.jsonl"
    if not path.is_file():
        judges = ", ".join(sorted(file.stem for file in folder.glob("*.jsonl"))) or "none"
        raise LeftOutError(f"it has no judgements by {judge}; there are: {judges}")
    try:
        name, judged_answers = read_judgements(path)
    except ValueError as error:
        raise LeftOutError(str(error)) from None
    judgements: Judgements = {question: [] for question in rows}
    by_id = {question.id: question for question in rows}
    for answer in judged_answers.values():
        if answer.id in by_id:
            judgements[by_id[answer.id]].append(answer)
    if any(not _is_about(answer, rows[question]) for question, answers in judgements.items() for answer in answers):
        raise LeftOutError(f"{path.name} judges other answers than those that are there now; judge them anew")
    # Consistency is judged once per pair, and stored with its first question.
    seconds = {
        ids[1]
        for question, answers in judgements.items()
        if (ids := ids_of_pair(question.id)) and any(answer.aspect == Aspect.CONSISTENCY for answer in answers)
    }
    return name, {
        question: answers for question, answers in judgements.items() if answers or question.id not in seconds
    }


def _judged(name: str, judgements: Judgements) -> Answered:
    """Take the judge's right and wrong; answers that were scored only for aspects are left out."""
    marks = {
        question: int(answer.right)
        for question, answers in judgements.items()
        for answer in answers
        if answer.aspect is None and answer.right is not None
    }
    if not marks:
        scored = any(answer.score is not None for answers in judgements.values() for answer in answers)
        hint = "; --points compares its scores" if scored else ""
        raise LeftOutError(f"{name} says of no answer whether it is right{hint}")
    questions = {
        question
        for question, answers in judgements.items()
        if not answers or any(not answer.aspect for answer in answers)
    }
    return Answered(marks, unjudged=frozenset(questions - marks.keys()), judge=name)


def _scored(name: str, judgements: Judgements) -> Answered:
    """Take the judge's scores, with a family for each aspect."""
    marks: dict[Question, int] = {}
    unjudged = {question for question, answers in judgements.items() if not answers}
    for question, answers in judgements.items():
        for answer in answers:
            judged = replace(question, family=_aspect_family(question.family, answer.aspect), aspect=answer.aspect)
            if answer.score is None:
                unjudged.add(judged)
            else:
                marks[judged] = round(TENTHS * answer.score)
    if not marks:
        raise LeftOutError(f"{name} gives no answer a score")
    return Answered(marks, TENTHS * BEST_SCORE, POINTS, frozenset(unjudged), name)


def _aspect_family(family: str, aspect: str | None) -> str:
    """Return the family of an aspect's scores: the aspect itself, below its benchmark if there is one."""
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
