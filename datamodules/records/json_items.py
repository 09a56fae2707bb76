"""The items of a JSON list or of JSON lines, one at a time: a file of a gigabyte is never in memory as a whole."""

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
    """An object of a JSON text has a key twice, which Python's reader would answer with the last value."""


def keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return keys and values of a JSON object as a dictionary: the `object_pairs_hook` of whatever users write.

    Raises:
        KeyTwiceError: a key comes up twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise KeyTwiceError(f"the key {twice!r:.60} stands twice in one object; take out the value that is not meant")
    return found


class JsonItems:
    """A file of items, to be iterated over: `(number, item)`."""

    def __init__(self, path: Path, chunk: int = 1 << 20, called: str = "record") -> None:
        """Name the file: JSON lines if its name ends in `.jsonl`, else one JSON list.

        Args:
            path: the file.
            chunk: bytes that are read at a time.
            called: what errors call an item.
        """
        self.path = path
        self.chunk = chunk
        self._called = called
        self._unit = "line" if path.suffix == ".jsonl" else called

    def where(self, number: int) -> str:
        """Return words for the place of an item."""
        return f"{self.path}, {self._unit} {number}"

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """Yield items, each with its number: its line, from 1, or its position in the list, from 0.

        Raises:
            RecordError: the file cannot be read, or is not what its name says.
        """
        return self._lines() if self._unit == "line" else enumerate(self._list())

    def _text(self) -> Iterator[str]:
        """Yield the file's text in pieces."""
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
        begun: list[str] = []  # of a line that goes on in the next piece
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
            found = window.value()
            lines = f"; a file with one {self._called} per line must be named .jsonl" if isinstance(found, dict) else ""
            raise RecordError(
                f"{self.path}: holds {kind(found)}; it must be a list of {self._called}s: [{{...}}, ...]{lines}"
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
    """Return the one value that a text holds.

    Args:
        text: a file, or a line of one.
        path: the file, for errors.
        line: where in it the text begins, for errors.
        called: what errors call an item.

    Raises:
        RecordError: it is not JSON.
    """
    window = _Window(path, iter([text]), line, called)
    value = window.value()
    window.end()
    return value


class _Window:
    """The part of a text that is being read, and where in the file it is."""

    def __init__(self, path: Path, pieces: Iterator[str], line: int, called: str) -> None:
        self.path, self.pieces, self.called = path, pieces, called
        self.text, self.at = next(pieces, ""), 0
        self.line, self.column = line, 1  # of the start of `text`
        self.decode = json.JSONDecoder(object_pairs_hook=keys_once).raw_decode

    def more(self) -> bool:
        """Read at least as much as is left, so that a long item takes few attempts; False at the end of the file."""
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
        """Return the next character that is no white space, without taking it; empty at the end of the file."""
        while True:
            space = _SPACE.match(self.text, self.at)
            assert space is not None
            self.at = space.end()
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def take(self) -> None:
        """Go past the next character."""
        self.at += 1

    def value(self) -> Any:
        """Take the next value."""
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
            # What ends with the text may go on, even if it can be read: 12 may be the start of 123.
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
        """Make sure that nothing is left."""
        if self.next():
            self.fail("Extra data", self.at)

    def fail(self, what: str, at: int) -> NoReturn:
        """Say what is wrong at a position of `text`."""
        line, column = self.place(at)
        raise RecordError(f"{self.path}, line {line}, column {column}: not valid JSON: {what}")

    def place(self, at: int) -> tuple[int, int]:
        """Return line and column of a position of `text`."""
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
                f"{self.path}, from line {line}: half a surrogate pair (\\ud...) is no character"
            ) from error


def kind(value: object) -> str:
    """Name a JSON value in an error."""
    if value is None:
        return "missing or null"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return f"the value {value!r:.60}"
