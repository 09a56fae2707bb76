"""What a file contains, in one short text."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from datamodules.regular_file import open_regular

KEPT_HASHES = 2**17  # about 50 MiB


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
