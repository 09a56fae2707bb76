"""Opens files that are files: a pipe would be waited for without end, and a device has none."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


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
