"""The interface of the formats of benchmark question files, and the rows that such files consist of."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from datamodules.benchmarks.question import Question
from datamodules.records import RecordError
from datamodules.records.json_items import JsonItems, json_value, kind


@dataclass(frozen=True)
class Row:
    """One row of a question file.

    Attributes:
        where: description of the position in the file, for errors.
        fields: values by key or column.
    """

    where: str
    fields: dict[str, Any]

    def text(self, key: str) -> str:
        """Return a text field unchanged.

        Raises:
            RecordError: the field is missing, not a text, or empty.
        """
        value = self._value(key)
        if not isinstance(value, str):
            raise RecordError(f"{self.where}: {key!r} is {kind(value)}; it must be a text")
        if not value.strip():
            raise RecordError(f"{self.where}: {key!r} is empty")
        return value

    def name(self, key: str) -> str:
        """Return a field with a name, which is a text or a whole number.

        Raises:
            RecordError: the field is missing, empty, or of another type.
        """
        value = self._value(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.text(key)

    def name_if_any(self, key: str) -> str | None:
        """Return a field with a name; None if the row does not have it."""
        return None if self.fields.get(key) is None else self.name(key)

    def number(self, key: str) -> int:
        """Return a field with a whole number, which is a text in tables.

        Raises:
            RecordError: the field is missing or not a whole number from 0.
        """
        text = self.name(key)
        if not text.strip().isdecimal():
            raise RecordError(f"{self.where}: {key!r} is {text!r}; it must be a whole number from 0")
        return int(text)

    def texts(self, key: str) -> list[str]:
        """Return a field with a list of texts.

        Raises:
            RecordError: the field is missing, not a list of texts, or one of the texts is empty.
        """
        value = self._value(key)
        if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
            raise RecordError(f"{self.where}: {key!r} is {kind(value)}; it must be a list of texts, none of them empty")
        return value

    def _value(self, key: str) -> Any:
        if key not in self.fields:
            raise RecordError(f"{self.where}: has no {key!r}; it has {', '.join(map(repr, self.fields)) or 'nothing'}")
        return self.fields[key]


def json_rows(path: Path) -> list[Row]:
    """Read a JSON list of objects, or JSON lines if the name ends in `.jsonl`.

    Raises:
        RecordError: the file cannot be read or has another format.
    """
    items = JsonItems(path, called="row")
    return [_row(items.where(number), item) for number, item in items]


def table_rows(path: Path, delimiter: str, columns: Sequence[str]) -> list[Row]:
    """Read a table whose first line has the names of its columns.

    Args:
        path: path of the file.
        delimiter: character between columns. With a tab, quotation marks are ordinary characters.
        columns: required columns.

    Raises:
        RecordError: the file cannot be read, lacks a column, or has a line with another number of columns.
    """
    text = io.StringIO(read_text(path), newline="")
    quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    table = csv.reader(text, delimiter=delimiter, quoting=quoting, strict=True)
    lines = _lines(table, path)
    _, header = next(lines, (0, []))
    missing = [column for column in columns if column not in header]
    if missing:
        raise RecordError(
            f"{path}, line 1: has no column {', '.join(map(repr, missing))}; columns must be separated by"
            f" {delimiter!r}, and those found are {', '.join(map(repr, header))}"
        )
    rows = []
    for number, values in lines:
        if len(values) != len(header):
            raise RecordError(f"{path}, line {number}: has {len(values)} columns; the first line has {len(header)}")
        rows.append(Row(f"{path}, line {number}", dict(zip(header, values, strict=True))))
    return rows


def _lines(table: Any, path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        for values in table:
            if values:
                yield table.line_num, values
    except csv.Error as error:
        raise RecordError(f"{path}, line {table.line_num}: not a table: {error}") from error


def parsed_json(path: Path) -> Any:
    """Return the value in a JSON file.

    Raises:
        RecordError: the file cannot be read or is not valid JSON.
    """
    return json_value(read_text(path), path)


def read_text(path: Path) -> str:
    """Return the text in a file.

    Raises:
        RecordError: the file cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error


def _row(where: str, item: Any) -> Row:
    if not isinstance(item, dict):
        raise RecordError(f"{where}: is {kind(item)}; a row must be an object")
    return Row(where, item)


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
