"""A question of a benchmark, as its file has it, and what a model is asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datamodules.answer_kind import LETTERS
from datamodules.printable import printable
from datamodules.records import AnswerKind, Choice, FreeAnswer, Record, RecordError, Turn

CHOICE_INSTRUCTION = "Answer with the option's letter from the given choices directly."


@dataclass(frozen=True)
class Question(ABC):
    """What all questions have.

    Attributes:
        where: words for its place in the file, for errors.
        id: unique in its benchmark.
        video: name of the clip, as in the file.
        text: the question, as in the file: nothing is added to it, no question mark either (official).
        code: its type, as the file writes it; None if the file tells none.
    """

    where: str
    id: str
    video: str
    text: str
    code: str | None

    @abstractmethod
    def turn(self) -> Turn:
        """Return what a model is asked, and the reference."""

    @abstractmethod
    def answer_kind(self) -> AnswerKind:
        """Return how a reply is compared with the reference."""

    def record(self, benchmark: str, video: Path, question_type: str) -> Record:
        """Return the question as a record; its id and family begin with the benchmark's name."""
        return Record(
            id=f"{benchmark}/{self.id}",
            video=video,
            turns=(self.turn(),),
            family=printable(f"{benchmark}/{question_type}"),
            answer_kind=self.answer_kind(),
            where=self.where,
        )


@dataclass(frozen=True)
class OpenQuestion(Question):
    """A question to be answered in one's own words.

    Attributes:
        answer: the reference.
    """

    answer: str

    def turn(self) -> Turn:
        """Return question and answer as they are in the file."""
        return Turn(self.text, self.answer)

    def answer_kind(self) -> AnswerKind:
        """Return that of free answers."""
        return FreeAnswer()


@dataclass(frozen=True)
class ChoiceQuestion(Question):
    """A question with options to choose from.

    Attributes:
        options: their texts, without letters.
        right: which of them is right, from 0.
    """

    options: Sequence[str]
    right: int

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            RecordError: too few or too many of them, or none is the one said to be right.
        """
        if not 2 <= len(self.options) <= len(LETTERS):
            raise RecordError(f"{self.where}: has {len(self.options)} options; there must be 2 to {len(LETTERS)}")
        if not 0 <= self.right < len(self.options):
            raise RecordError(
                f"{self.where}: option {self.right} is said to be right; the options are 0 to {len(self.options) - 1}"
            )

    def turn(self) -> Turn:
        """Return the question with a line per option and an instruction, and the letter of the right one."""
        lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, self.options, strict=False)]
        return Turn("\n".join([self.text, *lines, CHOICE_INSTRUCTION]), LETTERS[self.right])

    def answer_kind(self) -> AnswerKind:
        """Return that of a choice among the options."""
        return Choice(self.options)
