"""Runs a training that does not outlive its sweep: `python child.py PARENT ...`.

This is a program of its own, since code that runs between fork and exec may hang if the parent has threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_SET_PARENT_DEATH_SIGNAL = 1  # from linux/prctl.h; it persists across exec


def die_with(parent: int) -> None:
    """Let the system kill this process when its parent ends; on systems other than Linux it runs to its end.

    There a second sweep waits for it, since this process holds the lock too.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # the parent ended before the call
            sys.exit(1)


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    # A cluster sends one of these as a warning to all processes of a task; the parent passes it on as SIGTERM.
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    os.execv(sys.executable, [sys.executable, "-m", "lightning", "fit", *sys.argv[2:]])
