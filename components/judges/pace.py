"""When the next request may be made."""

from __future__ import annotations

import threading
import time


class StoppedError(Exception):
    """Nothing more is to be asked."""


class Pace:
    """Spaces requests evenly, over all threads; and wakes those who wait when nothing more is to be asked."""

    def __init__(self, per_minute: float | None) -> None:
        """Take the most requests per minute; None: as many as come."""
        self._interval = 60 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def wait(self) -> None:
        """Wait for the turn of one request.

        Raises:
            StoppedError: nothing more is to be asked.
        """
        with self._lock:
            turn = max(time.monotonic(), self._next)
            self._next = turn + self._interval
        self.sleep(turn - time.monotonic())

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            StoppedError: nothing more is to be asked.
        """
        if self._stopped.wait(max(0.0, seconds)):
            raise StoppedError

    def stop(self) -> None:
        """Let nothing more be asked."""
        self._stopped.set()
