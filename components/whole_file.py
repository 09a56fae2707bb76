"""Writing whole files: who reads one sees the old content or the new, never a part, whatever is killed meanwhile."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = ".unfinished"  # ending of what becomes a file once it is whole


@contextmanager
def whole_file(path: Path, flush: bool = True) -> Iterator[Path]:
    """Give a path beside `path` to write to, which becomes `path` once all is written.

    It lies in the same folder, as only within a file system one file takes the place of another at once.

    Args:
        path: of the file; its folder is made.
        flush: whether the content is on the disk, and not in the memory of the system alone, before it becomes `path`:
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
        # A full disk does not say which file it was, and other errors say what the file is called until it is whole.
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
    """Remove what processes that were killed have left in a folder, in which no other one writes now."""
    for file in folder.glob(f".*{UNFINISHED}"):
        file.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
