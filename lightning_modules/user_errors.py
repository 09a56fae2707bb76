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

OUR_PACKAGES = tuple(Path(__file__).parents[1] / name for name in ("components", "datamodules", "lightning_modules"))


def is_user_error(error: BaseException) -> bool:
    """Return whether `error` is a ValueError raised by a line of our own packages, or a full disk."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return True
    frames = traceback.extract_tb(error.__traceback__)
    if not isinstance(error, ValueError) or not frames:
        return False
    return any(Path(frames[-1].filename).is_relative_to(package) for package in OUR_PACKAGES)


def message(error: BaseException) -> str:
    """Return the one line for `error`."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"no space left on the device{f' for {error.filename}' if error.filename else ''}"
    return str(error)


@contextmanager
def user_errors() -> Iterator[None]:
    """Print a user's error as one line and exit with status 1; `VIDEO_PANDA_TRACEBACK=1` shows where it arose."""
    try:
        yield
    except Exception as error:
        if not is_user_error(error) or os.environ.get("VIDEO_PANDA_TRACEBACK"):
            raise
        print(f"error: {message(error)}", file=sys.stderr)
        sys.exit(1)
