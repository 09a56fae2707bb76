"""Reads the items of a JSON list or of JSON lines one at a time, so that a large file is never in memory as a whole."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from components.files import open_regular
from datamodules.records.record import RecordError

_SPACE = re.compile(r"[ \t\n\r]*")


class KeyTwiceError(ValueError):
    """A JSON object has a key twice; Python's reader would silently use the last value."""


def keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the keys and values of a JSON object as a dictionary: the `object_pairs_hook` for files that users write.

    Raises:
        KeyTwiceError: a key occurs twice.
    """
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise KeyTwiceError(f"the key {twice!r:.60} stands twice in one object; take out the value that is not meant")
    return content


class JsonItems:
    """A file of items; iterating over it yields `(number, item)`."""

    def __init__(self, path: Path, chunk: int = 1 << 20, called: str = "record") -> None:
        """Set the file: JSON lines if its name ends in `.jsonl`, else one JSON list.

        Args:
            path: path of the file.
            chunk: number of bytes to read at a time.
            called: word for an item in error messages.
        """
        self.path = path
        self.chunk = chunk
        self._called = called
        self._unit = "line" if path.suffix == ".jsonl" else called

    def where(self, number: int) -> str:
        """Return a description of the position of an item, such as `train.json, record 3`."""
        return f"{self.path}, {self._unit} {number}"

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """Yield each item with its number: its line, from 1, or its position in the list, from 0.

        Raises:
            RecordError: the file cannot be read, or is not in the format of its suffix.
        """
        return self._lines() if self._unit == "line" else enumerate(self._list())

    def _text(self) -> Iterator[str]:
        """Yield the text of the file in pieces."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        done, begun = 0, False
        try:
            with open_regular(self.path) as file:
                while True:
                    chunk = file.read(self.chunk)
                    kept = len(decoder.getstate()[0])
                    text = decoder.decode(chunk, final=not chunk)
                    yield text if begun else text.removeprefix("\ufeff")
                    done, begun = done + len(chunk), begun or bool(text)
                    if not chunk:
                        return
        except OSError as error:
            raise RecordError(f"{self.path}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            at = done - kept + error.start
            raise RecordError(f"{self.path}: not UTF-8 at byte {at}; save it as UTF-8") from error

    def _lines(self) -> Iterator[tuple[int, Any]]:
        begun: list[str] = []  # parts of a line that continues in the next piece
        number = 0
        for text in self._text():
            begun.append(text)
            if "\n" in text:
                *lines, rest = "".join(begun).split("\n")
                begun = [rest]
                for line in lines:
                    number += 1
                    if line.strip():
                        yield number, json_value(line, self.path, number, self._called)
        last = "".join(begun)
        if last.strip():
            yield number + 1, json_value(last, self.path, number + 1, self._called)

    def _list(self) -> Iterator[Any]:
        window = _Window(self.path, self._text(), 1, self._called)
        if window.next() != "[":
            value = window.value()
            lines = f"; a file with one {self._called} per line must be named .jsonl" if isinstance(value, dict) else ""
            raise RecordError(
                f"{self.path}: holds {kind(value)}; it must be a list of {self._called}s: [{{...}}, ...]{lines}"
            )
        window.take()
        if window.next() != "]":
            yield window.value()
            while window.next() == ",":
                window.take()
                yield window.value()
        if window.next() != "]":
            window.fail("Expecting ',' delimiter", window.at)
        window.take()
        window.end()


def json_value(text: str, path: Path, line: int = 1, called: str = "record") -> Any:
    """Return the single value in a JSON text.

    Args:
        text: text of a file, or of one of its lines.
        path: path of the file, for errors.
        line: number of the line where the text begins, for errors.
        called: word for an item in error messages.

    Raises:
        RecordError: the text is not valid JSON.
    """
    window = _Window(path, iter([text]), line, called)
    value = window.value()
    window.end()
    return value


class _Window:
    """The part of a text that is being read, and its position in the file."""

    def __init__(self, path: Path, pieces: Iterator[str], line: int, called: str) -> None:
        self.path, self.pieces, self.called = path, pieces, called
        self.text, self.at = next(pieces, ""), 0
        self.line, self.column = line, 1  # where `text` starts
        self.decode = json.JSONDecoder(object_pairs_hook=keys_once).raw_decode

    def more(self) -> bool:
        """Read at least as much as remains, so that a long item takes few attempts; False at the end of the file."""
        added, size = [], 0
        for piece in self.pieces:
            added.append(piece)
            size += len(piece)
            if size and size >= len(self.text) - self.at:
                break
        if size:
            self.line, self.column = self.place(self.at)
            self.text, self.at = self.text[self.at :] + "".join(added), 0
        return size > 0

    def next(self) -> str:
        """Return the next character that is not white space, without consuming it; empty at the end of the file."""
        while True:
            space = _SPACE.match(self.text, self.at)
            assert space is not None
            self.at = space.end()
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def take(self) -> None:
        """Consume the next character."""
        self.at += 1

    def value(self) -> Any:
        """Consume and return the next value."""
        self.next()
        while True:
            failed, item, end = None, None, self.at
            try:
                item, end = self.decode(self.text, self.at)
            except json.JSONDecodeError as error:
                failed = error
            except KeyTwiceError as error:
                raise RecordError(f"{self.path}, from line {self.place(self.at)[0]}: {error}") from error
            except (RecursionError, ValueError) as error:
                line = self.place(self.at)[0]
                raise RecordError(f"{self.path}, from line {line}: cannot be {self.called}s: {error}") from error
            # A value at the end of the text may continue, even if it can be parsed: 12 may be the start of 123.
            if failed is None and end < len(self.text):
                break
            if not self.more():
                if failed is not None:
                    self.fail(failed.msg, failed.pos)
                break
        self._refuse_half_characters(item, end)
        self.at = end
        return item

    def end(self) -> None:
        """Raise an error if there is anything after the value."""
        if self.next():
            self.fail("Extra data", self.at)

    def fail(self, reason: str, at: int) -> NoReturn:
        """Raise an error with the line and column of a position in `text`."""
        line, column = self.place(at)
        raise RecordError(f"{self.path}, line {line}, column {column}: not valid JSON: {reason}")

    def place(self, at: int) -> tuple[int, int]:
        """Return the line and column of a position in `text`."""
        breaks = self.text.count("\n", 0, at)
        return self.line + breaks, at - self.text.rindex("\n", 0, at) if breaks else self.column + at

    def _refuse_half_characters(self, item: Any, end: int) -> None:
        if self.text.find("\\ud", self.at, end) < 0 and self.text.find("\\uD", self.at, end) < 0:
            return
        try:
            json.dumps(item, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            line = self.place(self.at)[0]
            raise RecordError(
                f"{self.path}, from line {line}: half a surrogate pair (\\ud...) is not a character"
            ) from error


def kind(value: object) -> str:
    """Return a description of a JSON value for an error message."""
    if value is None:
        return "missing or null"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return f"the value {value!r:.60}"
