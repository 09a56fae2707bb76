"""What a user did wrong is said in one line; only our own mistakes print a stack of frames.

In this project a ValueError raised by our own packages means: the user's value, file or data. Everything else is a bug
(or the machine's trouble) and keeps its traceback.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = {errno.ENOSPC: "no space left on the device", errno.EDQUOT: "the disk quota is used up"}
OUR_PACKAGES = tuple(
    Path(__file__).parents[1] / name for name in ("components", "datamodules", "lightning_modules", "ablation")
)


def user_error(error: BaseException | None) -> str | None:
    """Return the one line to print, if `error` or what caused it is a user's error or a full disk.

    Causes count because the parser wraps what a constructor raises.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            target = error.filename2 or error.filename  # a failed copy names its source first
            return f"{_FULL[error.errno]}{f' for {target}' if target else ''}"
        frames = traceback.extract_tb(error.__traceback__)
        raised_at = Path(frames[-1].filename) if frames else Path()
        if isinstance(error, ValueError) and any(raised_at.is_relative_to(package) for package in OUR_PACKAGES):
            return str(error)
        error = error.__cause__
    return None


@contextmanager
def user_errors() -> Iterator[None]:
    """Print a user's error as one line and exit with status 1; `VIDEO_PANDA_TRACEBACK=1` shows where it arose."""
    try:
        yield
    except Exception as error:
        line = user_error(error)
        if line is None or os.environ.get("VIDEO_PANDA_TRACEBACK"):
            raise
        print(f"error: {line}", file=sys.stderr)
        sys.exit(1)
