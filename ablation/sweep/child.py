"""Becomes a training that does not outlive the sweep that started it: `python -m ablation.sweep.child PARENT ...`.

A program of its own between the two: code of the parent's, run in the child before it becomes another program, may hang
when the parent has threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_SET_PARENT_DEATH_SIGNAL = 1  # of linux/prctl.h; it stays when the program is replaced


def die_with(parent: int) -> None:
    """Let the system kill this process when its parent is gone; elsewhere than on Linux, it goes on to its end.

    There, a second sweep waits: the lock is held as long as this process lives.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # gone before it was asked for
            sys.exit(1)


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    # A cluster warns all processes of a task with one of these; the parent makes a SIGTERM of it, which is understood.
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    os.execv(sys.executable, [sys.executable, "-m", "lightning", "fit", *sys.argv[2:]])
