"""The forms that benchmarks write their questions in: the contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

from datamodules.benchmarks.question import Question
from datamodules.benchmarks.rows import Row
from datamodules.records import RecordError

NAMED = 5  # how many things an error names


class QuestionFile(ABC):
    """The family `questions` of a benchmark.

    Attributes:
        files: names of the files it is made of, relative to the folder of all benchmarks.
    """

    def __init__(self, *files: str) -> None:
        """Keep the names."""
        self.files = files

    def read(self, root: Path) -> list[Question]:
        """Return all questions, in the order of the file.

        Args:
            root: folder of all benchmarks.

        Raises:
            RecordError: a file or one of its rows cannot be used, or two questions have one id.
        """
        paths = [root / file for file in self.files]
        for path in paths:
            if not path.exists():
                raise RecordError(f"{path}: cannot be read: No such file (see data.init_args.root)")
        questions = self._read(*paths)
        if not questions:
            raise RecordError(f"{root / self.files[0]}: holds no questions")
        places: dict[str, str] = {}
        for question in questions:
            if question.id in places:
                raise RecordError(f"{question.where}: id {question.id!r} is taken by {places[question.id]}")
            places[question.id] = question.where
        return questions

    @abstractmethod
    def _read(self, *paths: Path) -> list[Question]:
        """Return the questions of the files, in the order in which they were named."""


def by_id(rows: Iterable[Row], key: str) -> dict[str, Row]:
    """Return rows by their id.

    Raises:
        RecordError: two rows have the same.
    """
    found: dict[str, Row] = {}
    for row in rows:
        identity = row.name(key)
        if identity in found:
            raise RecordError(f"{row.where}: {key} {identity!r} is taken by {found[identity].where}")
        found[identity] = row
    return found


def first_few(names: Sequence[str]) -> str:
    """Return the first few names, and that there are more if there are."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
