"""When the next request may be made, and how long it may take."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any


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


class TimeLimit(AbstractContextManager["TimeLimit"]):
    """Breaks the connection of a request that takes too long; the timeouts of HTTP clients are those of each piece.

    Attributes:
        over: whether the time is.
    """

    def __init__(self, seconds: float) -> None:
        """Take the time of the whole request, which begins with the context."""
        self.over = False
        self._connection: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> TimeLimit:
        """Begin."""
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let the request be, which is done."""
        self._timer.cancel()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take the connection from what happens to the request: its extension `trace`, as httpx describes it.

        Raises:
            TimeoutError: there was no connection yet when the time was over.
        """
        facts = getattr(info.get("return_value"), "get_extra_info", None)
        if facts is not None:  # of a connection
            self._connection = facts("socket")
            if self.over:
                raise TimeoutError

    def _end(self) -> None:
        self.over = True
        if self._connection is not None:
            with suppress(OSError):  # it has ended
                self._connection.shutdown(socket.SHUT_RDWR)  # which wakes who reads from it, as closing does not
