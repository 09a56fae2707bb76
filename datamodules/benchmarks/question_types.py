"""What type a question of a benchmark is of: scores are reported for each."""

from __future__ import annotations

from abc import ABC, abstractmethod

from datamodules.benchmarks.question import Question
from datamodules.records import RecordError


class QuestionTypes(ABC):
    """The family `types` of a benchmark."""

    @abstractmethod
    def of(self, question: Question) -> str:
        """Return the type of a question.

        Raises:
            RecordError: it cannot be told.
        """


class OneType(QuestionTypes):
    """All questions are of one type, `all`."""

    def of(self, question: Question) -> str:
        """Return `all`."""
        return "all"


class TypeCodes(QuestionTypes):
    """The file has a code for each question, such as 3 in ActivityNet-QA or CW in NExT-QA."""

    def __init__(self, names: dict[str, str]) -> None:
        """Keep the names.

        Args:
            names: name of the type by code.
        """
        self.names = names

    def of(self, question: Question) -> str:
        """Return the name of the question's code."""
        if question.code not in self.names:
            found = "has no type" if question.code is None else f"is of type {question.code!r}"
            raise RecordError(f"{question.where}: {found}; the types are {', '.join(self.names)} (`types` in the YAML)")
        return self.names[question.code]


class TypeNames(QuestionTypes):
    """The file has a name for each question, such as `Action Reasoning` in VideoMME."""

    def of(self, question: Question) -> str:
        """Return the name in lower case, with `_` between its words."""
        if question.code is None:
            raise RecordError(f"{question.where}: has no type; `types` in the YAML may be OneType")
        return "_".join(question.code.lower().split())


class FirstWord(QuestionTypes):
    """The first word tells, as in MSVD-QA and MSRVTT-QA: what, who, how, when, where."""

    def __init__(self, words: list[str]) -> None:
        """Keep the words.

        Args:
            words: in lower case; a question that begins with none of them is of the type `other`.
        """
        self.words = words

    def of(self, question: Question) -> str:
        """Return the question's first word if it is one of those."""
        first = question.text.split()[0].lower()
        return first if first in self.words else "other"
