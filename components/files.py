"""Files of a project that may be killed at any moment, on a disk that may be full.

What is written whole is there whole or not at all; of JSON lines, which are appended to, a kill may cut the last one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from io import BufferedReader
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

UNFINISHED = ".unfinished"  # ending of what becomes a file once it is whole
_KEPT_HASHES = 2**17  # about 50 MiB

Value = TypeVar("Value")


@contextmanager
def whole_file(path: Path, flush: bool = True) -> Iterator[Path]:
    """Give a path beside `path` to write to, which becomes `path` once everything is written.

    It lies in the same folder, because a file can take the place of another at once only within one file system.

    Args:
        path: of the file; its folder is made.
        flush: whether the content must be on the disk, and not only in the system's memory, before it becomes `path`:
            for what cannot be made again.

    Raises:
        OSError: the disk is full or the folder cannot be written; the old file stays, and nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    try:
        yield unfinished
        if flush:
            _flush(unfinished)
        unfinished.replace(path)
        if flush:
            _flush(path.parent)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        # A full disk does not say which file it was, and other errors name the file by its name until it is whole.
        if error.errno is not None and error.filename2 is None and error.filename in (None, str(unfinished)):
            error.filename = str(path)
        raise
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes | str, flush: bool = True) -> None:
    """Write a whole file, or none.

    Args:
        path: of the file; its folder is made.
        content: all of it; text becomes UTF-8.
        flush: see `whole_file`.

    Raises:
        OSError: as `whole_file`.
    """
    with whole_file(path, flush) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes have left in a folder, in which no other process writes now."""
    for file in folder.glob(f".*{UNFINISHED}"):
        file.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def free_number(folder: Path, *names: str) -> int:
    """Return the first number from 1 that no file of a folder has.

    Args:
        folder: of the files.
        names: of the files, with `{}` in place of the number, such as `metrics.{}.csv`.
    """
    return next(number for number in count(1) if not any((folder / name.format(number)).exists() for name in names))


def open_regular(path: Path) -> BufferedReader:
    """Open a file to read its bytes, if it is one: a pipe would be waited for without end, and a device has no end.

    Raises:
        OSError: it cannot be opened, or is a pipe, a device or a socket.
    """
    # Without O_NONBLOCK, opening a pipe waits for who writes to it; for regular files it means nothing.
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file (a pipe or a device)", str(path))
    return file


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file, which is read once as long as its size and its time of change stay the same.

    Raises:
        OSError: the file cannot be read.
    """
    status = path.stat()
    return _hash(path, status.st_size, status.st_mtime_ns)


@lru_cache(_KEPT_HASHES)
def _hash(path: Path, size: int, modified_ns: int) -> str:
    with open_regular(path) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object that a file holds.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, is not JSON, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, not an object")
    return content


def json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)


def append_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows to a file of JSON lines.

    Raises:
        OSError: the file cannot be written, as on a full disk; `filename` names it, and what is in it stays.
    """
    lines = json_lines(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(lines)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say which
        raise


def read_lines(path: Path, parse: Callable[[Any], Value], fault: str) -> tuple[list[Value], bytes]:
    """Return what the whole lines of a file of JSON lines hold, and a last line that was cut (empty if none was).

    Args:
        path: of the file.
        parse: makes of the JSON value of a line what the file is a list of.
        fault: what is wrong with a line that `parse` cannot take, for the error, such as `is not an answer`.

    Raises:
        OSError: the file cannot be read.
        ValueError: a whole line is not JSON, or `parse` cannot take it.
    """
    *lines, cut = path.read_bytes().split(b"\n")
    values = []
    for number, line in enumerate(lines, start=1):
        try:
            values.append(parse(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path}, line {number} {fault}: {error!r}") from None
    return values, cut
