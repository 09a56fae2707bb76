"""The types of the questions of a benchmark; scores are reported for each type."""

from __future__ import annotations

from abc import ABC, abstractmethod

from datamodules.benchmarks.question import Question
from datamodules.records import RecordError


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
