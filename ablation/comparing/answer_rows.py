"""The answers of a run, question by question, and who says which of them are right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.judgements import JudgedAnswer, read_judgements
from lightning_modules.answer_store import Row, read_rows


class LeftOutError(ValueError):
    """Why a folder is not compared."""


@dataclass(frozen=True)
class Question:
    """What was asked: runs are compared over what is equal in all of this.

    Attributes:
        id: of the question.
        video: that it is about, below the folder of the data; None if the answers do not name it.
        text: of the question.
        reference: the right answer.
        family: that it is counted under.
    """

    id: str
    video: str | None
    text: str
    reference: str
    family: str

    @property
    def cluster(self) -> str:
        """Its video, which other questions may be about; the question itself where there is none."""
        return self.video or self.id


@dataclass(frozen=True)
class Answered:
    """Questions of a test.

    Attributes:
        right: question -> whether its answer is.
        unjudged: questions whose answers a judge said nothing of that can be read.
        judge: who says so; None if it is the comparison of the test itself.
    """

    right: Mapping[Question, bool]
    unjudged: frozenset[Question] = frozenset()
    judge: str | None = None

    @property
    def asked(self) -> set[Question]:
        """All of them."""
        return {*self.right, *self.unjudged}


def read_answered(folder: Path, root: str, judge: str | None) -> Answered:
    """Read the answers of a run.

    Args:
        folder: of the run.
        root: of its data: videos are named below it.
        judge: name of a file of judgements, without its ending; None if the answers say themselves what is right.

    Raises:
        LeftOutError: there are none, they cannot be read, or they are not those that were judged.
    """
    path = folder / "answers" / "test.jsonl"
    if not path.is_file():
        raise LeftOutError("it has no answers to a test: there is no answers/test.jsonl")
    try:
        rows = read_rows(path)
        right = {_question(row, root): _verdict(row) for row in rows}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise LeftOutError(f"answers/test.jsonl cannot be read: {error}") from None
    if not right:
        raise LeftOutError("answers/test.jsonl has no answer")
    if len({question.id for question in right}) != len(rows):
        raise LeftOutError("answers/test.jsonl has two answers to one question")
    if judge is None:
        return Answered(right)
    return _judged(folder / "judgements" / path.stem, judge, dict(zip(right, rows, strict=True)))


def _judged(folder: Path, judge: str, rows: Mapping[Question, Row]) -> Answered:
    path = folder / f"{judge}.jsonl"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in folder.glob("*.jsonl"))) or "none"
        raise LeftOutError(f"it has no judgements by {judge}; there are: {known}")
    try:
        name, judgements = read_judgements(path)
    except ValueError as error:
        raise LeftOutError(str(error)) from None
    found = {question: judgements.get((question.id, None)) for question in rows}
    if any(each is not None and not _is_about(each, rows[question]) for question, each in found.items()):
        raise LeftOutError(f"{path.name} judges other answers than those that are there now; judge them anew")
    right = {question: bool(each.right) for question, each in found.items() if each and each.right is not None}
    if not right:
        raise LeftOutError(f"{path.name} says of no answer whether it is right")
    return Answered(right, frozenset(found.keys() - right.keys()), name)


def _is_about(judged: JudgedAnswer, row: Row) -> bool:
    return judged.prediction == row.get("prediction") and judged.reference == row.get("reference")


def _question(row: Mapping[str, Any], root: str) -> Question:
    video = row.get("video")
    if video is not None:
        place = Path(str(video))
        video = str(place.relative_to(root) if root and place.is_relative_to(root) else place.name)
    text, reference = str(row.get("question", "")), str(row.get("reference", ""))
    return Question(str(row["id"]), video, text, reference, str(row["family"]))


def _verdict(row: Mapping[str, Any]) -> bool:
    if not isinstance(row["right"], bool):
        raise ValueError(f"`right` of question {row['id']!r} is {row['right']!r}; it must be true or false")
    return row["right"]
