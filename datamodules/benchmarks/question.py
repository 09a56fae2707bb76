"""A question of a benchmark as written in its file, the prompt made of it, and its type."""

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
    """A question of a benchmark.

    Attributes:
        where: description of the position in the file, for errors.
        id: identifier, unique in the benchmark.
        video: name of the clip, as in the file.
        text: question, unchanged from the file: not even a missing question mark is added (official).
        code: type of the question, as in the file; None if the file has none.
    """

    where: str
    id: str
    video: str
    text: str
    code: str | None

    @abstractmethod
    def turn(self) -> Turn:
        """Return the prompt for the model and the reference answer."""

    @abstractmethod
    def answer_kind(self) -> AnswerKind:
        """Return how a reply is compared with the reference answer."""

    def record(self, benchmark: str, video: Path, question_type: str) -> Record:
        """Return the question as a record whose id and family begin with the name of the benchmark."""
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
    """An open-ended question.

    Attributes:
        answer: reference answer.
    """

    answer: str

    def turn(self) -> Turn:
        """Return question and answer unchanged."""
        return Turn(self.text, self.answer)

    def answer_kind(self) -> AnswerKind:
        """Return `FreeAnswer`."""
        return FreeAnswer()


@dataclass(frozen=True)
class ChoiceQuestion(Question):
    """A multiple-choice question.

    Attributes:
        options: texts of the options, without letters.
        right: number of the right option, from 0.
    """

    options: Sequence[str]
    right: int

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            RecordError: there are too few or too many options, or `right` is not one of them.
        """
        if not 2 <= len(self.options) <= len(LETTERS):
            raise RecordError(f"{self.where}: has {len(self.options)} options; there must be 2 to {len(LETTERS)}")
        if not 0 <= self.right < len(self.options):
            raise RecordError(
                f"{self.where}: option {self.right} is said to be right; the options are 0 to {len(self.options) - 1}"
            )

    def turn(self) -> Turn:
        """Return the question with one line per option and an instruction, and the letter of the right option."""
        lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, self.options, strict=False)]
        return Turn("\n".join([self.text, *lines, CHOICE_INSTRUCTION]), LETTERS[self.right])

    def answer_kind(self) -> AnswerKind:
        """Return `Choice` with the options."""
        return Choice(self.options)


class QuestionTypes(ABC):
    """The family `types` of a benchmark: how the type of a question is determined."""

    @abstractmethod
    def of(self, question: Question) -> str:
        """Return the type of a question.

        Raises:
            RecordError: the type cannot be determined.
        """


class OneType(QuestionTypes):
    """All questions are of the type `all`."""

    def of(self, question: Question) -> str:
        """Return `all`."""
        return "all"


class TypeCodes(QuestionTypes):
    """The file has a type code for each question, such as 3 in ActivityNet-QA or CW in NExT-QA."""

    def __init__(self, names: dict[str, str]) -> None:
        """Set the names of the types.

        Args:
            names: names of the types, by code.
        """
        self.names = names

    def of(self, question: Question) -> str:
        """Return the name for the code of the question."""
        if question.code not in self.names:
            problem = "has no type" if question.code is None else f"is of type {question.code!r}"
            raise RecordError(
                f"{question.where}: {problem}; the types are {', '.join(self.names)} (`types` in the YAML)"
            )
        return self.names[question.code]


class TypeNames(QuestionTypes):
    """The file has a type name for each question, such as `Action Reasoning` in VideoMME."""

    def of(self, question: Question) -> str:
        """Return the type name in lower case, with `_` between its words."""
        if question.code is None:
            raise RecordError(f"{question.where}: has no type; `types` in the YAML may be OneType")
        return "_".join(question.code.lower().split())


class FirstWord(QuestionTypes):
    """The type is the first word, as in MSVD-QA and MSRVTT-QA: what, who, how, when, where."""

    def __init__(self, words: list[str]) -> None:
        """Set the words.

        Args:
            words: first words in lower case; a question that begins with another word is of the type `other`.
        """
        self.words = words

    def of(self, question: Question) -> str:
        """Return the first word of the question if it is one of `words`, else `other`."""
        first = question.text.split()[0].lower()
        return first if first in self.words else "other"
