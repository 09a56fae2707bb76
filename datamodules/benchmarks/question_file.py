"""The interface of the formats of benchmark question files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

from datamodules.benchmarks.question import Question
from datamodules.benchmarks.rows import Row
from datamodules.records import RecordError

NAMED = 5  # number of items that an error names


class QuestionFile(ABC):
    """The family `questions` of a benchmark: the format of its question files.

    Attributes:
        files: paths of the files, relative to the folder of all benchmarks.
    """

    def __init__(self, *files: str) -> None:
        """Set the files."""
        self.files = files

    def read(self, root: Path) -> list[Question]:
        """Return all questions, in the order of the file.

        Args:
            root: folder of all benchmarks.

        Raises:
            RecordError: a file or one of its rows cannot be used, or two questions have the same id.
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
        """Return the questions of the files; `paths` has the order of `files`."""


def by_id(rows: Iterable[Row], key: str) -> dict[str, Row]:
    """Return rows by their id.

    Raises:
        RecordError: two rows have the same id.
    """
    rows_by_id: dict[str, Row] = {}
    for row in rows:
        identity = row.name(key)
        if identity in rows_by_id:
            raise RecordError(f"{row.where}: {key} {identity!r} is taken by {rows_by_id[identity].where}")
        rows_by_id[identity] = row
    return rows_by_id


def first_few(names: Sequence[str]) -> str:
    """Return the first few names in one line, with dots if there are more."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
