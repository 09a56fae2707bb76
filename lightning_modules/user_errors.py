"""What a user did wrong is said in one line; only our own mistakes print a stack of frames.

In this project a ValueError raised by our own packages means: the user's value, file or data. An OSError about a file
is the user's or the machine's too. Everything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datamodules.printable import printable

_FULL = {errno.ENOSPC: "no space left on the device", errno.EDQUOT: "the disk quota is used up"}
# The system names no file with these, and yet they are no bug of ours.
_WITHOUT_A_FILE = (*_FULL, errno.EMFILE, errno.ENFILE, errno.EROFS, errno.EFBIG, errno.EIO)
OUR_PACKAGES = tuple(
    Path(__file__).parents[1] / name for name in ("components", "datamodules", "lightning_modules", "ablation")
)


def user_error(error: BaseException | None) -> str | None:
    """Return the one line to print, if `error` or what caused it is a user's error, or the system's about a file.

    Causes count because the parser wraps what a constructor raises.
    """
    while error is not None:
        line = _system_error(error) if isinstance(error, OSError) else None
        if line is not None:
            return line
        frames = traceback.extract_tb(error.__traceback__)
        raised_at = Path(frames[-1].filename) if frames else Path()
        if isinstance(error, ValueError) and any(raised_at.is_relative_to(package) for package in OUR_PACKAGES):
            return str(error)
        error = error.__cause__
    return None


def _system_error(error: OSError) -> str | None:
    """Return the line for what the system refuses; None without a file that it is about, unless that is no bug."""
    target = error.filename2 or error.filename  # a failed copy names its source first
    if error.errno is None or (not target and error.errno not in _WITHOUT_A_FILE):
        return None
    name = os.fsdecode(target) if isinstance(target, str | bytes) else target
    if error.errno in _FULL:
        return f"{_FULL[error.errno]}{f' for {name}' if name else ''}"
    reason = os.strerror(error.errno)
    return f"{name}: {reason}" if name else reason[:1].lower() + reason[1:]


@contextmanager
def user_errors() -> Iterator[None]:
    """Print a user's error as one line and exit with status 1; `VIDEO_PANDA_TRACEBACK=1` shows where it arose."""
    try:
        yield
    except Exception as error:
        line = user_error(error)
        if line is None or os.environ.get("VIDEO_PANDA_TRACEBACK"):
            raise
        print(f"error: {printable(line)}", file=sys.stderr)
        sys.exit(1)
