"""Rows of question files, with words for where each one is, whatever the file is: JSON, JSON lines or a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from datamodules.records import RecordError
from datamodules.records.json_items import JsonItems, json_value, kind


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        where: words for its place, for errors.
        fields: what it holds.
    """

    where: str
    fields: dict[str, Any]

    def text(self, key: str) -> str:
        """Return a field that is a text, as it stands there.

        Raises:
            RecordError: it is missing, no text, or empty.
        """
        value = self._value(key)
        if not isinstance(value, str):
            raise RecordError(f"{self.where}: {key!r} is {kind(value)}; it must be a text")
        if not value.strip():
            raise RecordError(f"{self.where}: {key!r} is empty")
        return value

    def name(self, key: str) -> str:
        """Return a field that names something: a text or a whole number.

        Raises:
            RecordError: it is missing, empty, or something else.
        """
        value = self._value(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.text(key)

    def name_if_any(self, key: str) -> str | None:
        """Return such a field; None where the row has none."""
        return None if self.fields.get(key) is None else self.name(key)

    def number(self, key: str) -> int:
        """Return a field that is a whole number, which tables write as a text.

        Raises:
            RecordError: it is missing, or something else.
        """
        text = self.name(key)
        if not text.strip().isdecimal():
            raise RecordError(f"{self.where}: {key!r} is {text!r}; it must be a whole number from 0")
        return int(text)

    def texts(self, key: str) -> list[str]:
        """Return a field that is a list of texts.

        Raises:
            RecordError: it is missing, or something else, or one of them is empty.
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
        RecordError: the file cannot be read, or is something else.
    """
    items = JsonItems(path, called="row")
    return [_row(items.where(number), item) for number, item in items]


def table_rows(path: Path, delimiter: str, columns: Sequence[str]) -> list[Row]:
    """Read a table whose first line names its columns.

    Args:
        path: the file.
        delimiter: between columns. With a tab, quotation marks are ordinary characters.
        columns: that must be there.

    Raises:
        RecordError: the file cannot be read, lacks a column, or has a line with more or fewer of them.
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
    """Return what a JSON file holds.

    Raises:
        RecordError: it cannot be read, or is not JSON.
    """
    return json_value(read_text(path), path)


def read_text(path: Path) -> str:
    """Return what a text file holds.

    Raises:
        RecordError: it cannot be read, or is not UTF-8.
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
