"""Safe reading and writing of files for processes that may be killed at any moment, on disks that may be full.

Files that are written as a whole appear completely or not at all; of JSON lines, which are appended, a kill may cut off
the last one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from io import BufferedReader
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

UNFINISHED = ".unfinished"  # suffix of a file until it is complete
_KEPT_HASHES = 2**17  # about 50 MiB

Value = TypeVar("Value")


@contextmanager
def whole_file(path: Path, flush: bool = True) -> Iterator[Path]:
    """Yield a path beside `path` to write to; the file there becomes `path` once everything is written.

    It is in the same folder, because a file can atomically replace another only within one file system.

    Args:
        path: path of the file; its folder is created.
        flush: whether the content must be on disk, and not only in the system's memory, before it becomes `path`: for
            content that cannot be generated again.

    Raises:
        OSError: the disk is full or the folder cannot be written; the old file is kept, and the new one is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = unfinished_name(path)
    try:
        yield unfinished
        if flush:
            _flush(unfinished)
        unfinished.replace(path)
        if flush:
            _flush(path.parent)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        # The error of a full disk names no file, and other errors name the unfinished file.
        if error.errno is not None and error.filename2 is None and error.filename in (None, str(unfinished)):
            error.filename = str(path)
        raise
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes | str, flush: bool = True) -> None:
    """Write a file completely or not at all.

    Args:
        path: path of the file; its folder is created.
        content: content of the file; text is encoded as UTF-8.
        flush: whether the content must be on disk, see `whole_file`.

    Raises:
        OSError: the file cannot be written, see `whole_file`.
    """
    with whole_file(path, flush) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)


def unfinished_name(path: Path) -> Path:
    """Return a new path beside `path`, for what will be it once it is complete."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{UNFINISHED}")


def earlier(path: Path) -> Path:
    """Return where what was at `path` is for the moment in which another takes its place, see `take_place`."""
    return path.with_name(f"earlier_{path.name}")


def take_place(complete: Path, path: Path) -> None:
    """Rename a file or folder that is complete on disk to `path`, whatever is there.

    No folder can be replaced at once. A kill between two renamings leaves the old one at `earlier(path)`, and the next
    call removes it.
    """
    if path.exists():
        _remove(earlier(path))
        path.rename(earlier(path))
    complete.rename(path)
    _flush(path.parent)
    _remove(earlier(path))


def remove_unfinished(folder: Path) -> None:
    """Remove unfinished files and folders of killed processes from a folder in which no other process is writing."""
    for path in folder.glob(f".*{UNFINISHED}"):
        _remove(path)


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all its files, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def free_number(folder: Path, *names: str) -> int:
    """Return the first number from 1 that no file of a folder has.

    Args:
        folder: folder of the files.
        names: names of the files with `{}` in place of the number, such as `metrics.{}.csv`.
    """
    return next(number for number in count(1) if not any((folder / name.format(number)).exists() for name in names))


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file to read its bytes: reading a pipe could block forever, and a device never ends.

    Raises:
        OSError: the file cannot be opened, or is a pipe, a device or a socket.
    """
    # Without O_NONBLOCK, opening a pipe waits for a writer; it has no effect on regular files.
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file (a pipe or a device)", str(path))
    return file


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file, which is read only once while its size and time of change stay the same.

    That of a folder is the hash of what `sha256sum *` prints in it.

    Raises:
        OSError: the file cannot be read.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
        lines = "".join(f"{content_hash(file)}  {file.name}\n" for file in files)
        return hashlib.sha256(lines.encode()).hexdigest()
    status = path.stat()
    return _hash(path, status.st_size, status.st_mtime_ns)


@lru_cache(_KEPT_HASHES)
def _hash(path: Path, size: int, modified_ns: int) -> str:
    with open_regular(path) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file cannot be read or is not a JSON object.
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
        OSError: the file cannot be written, for example to a full disk; `filename` names it, and its content is kept.
    """
    lines = json_lines(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(lines)
    except OSError as error:
        error.filename = error.filename or str(path)  # the error of a full disk names no file
        raise


def read_lines(path: Path, parse: Callable[[Any], Value], fault: str) -> tuple[list[Value], bytes]:
    """Return the values of the complete lines of a file of JSON lines, and a cut-off last line, empty if there is none.

    Args:
        path: path of the file.
        parse: function that converts the JSON value of a line.
        fault: description of a line that `parse` refuses, for the error, such as `is not an answer`.

    Raises:
        OSError: the file cannot be read.
        ValueError: a complete line is not JSON, or `parse` refuses it.
    """
    *lines, cut = path.read_bytes().split(b"\n")
    values = []
    for number, line in enumerate(lines, start=1):
        try:
            values.append(parse(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path}, line {number} {fault}: {error!r}") from None
    return values, cut
