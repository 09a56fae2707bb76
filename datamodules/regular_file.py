"""Reads regular files and nothing else: reading a pipe could block for ever, and a device has no end."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from functools import lru_cache
from io import BufferedReader
from pathlib import Path

KEPT_HASHES = 2**17  # about 50 MiB


def open_regular(path: Path) -> BufferedReader:
    """Open a file to read its bytes.

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
    """Return the sha256 of a file, which is read once while its size and its time of change stay the same.

    Raises:
        OSError: the file cannot be read.
    """
    status = path.stat()
    return _hash(path, status.st_size, status.st_mtime_ns)


@lru_cache(KEPT_HASHES)
def _hash(path: Path, size: int, modified_ns: int) -> str:
    with open_regular(path) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
