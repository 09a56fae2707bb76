"""Rate and time limits of requests."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any


class StoppedError(Exception):
    """The judge was stopped, so no further request may be made."""


class Pace:
    """Spaces the requests of all threads evenly, and wakes waiting threads when the judge is stopped."""

    def __init__(self, per_minute: float | None) -> None:
        """Set the maximum number of requests per minute; None for no limit."""
        self._interval = 60 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def wait(self) -> None:
        """Wait until the next request may be made.

        Raises:
            StoppedError: the judge was stopped.
        """
        with self._lock:
            turn = max(time.monotonic(), self._next)
            self._next = turn + self._interval
        self.sleep(turn - time.monotonic())

    def sleep(self, seconds: float) -> None:
        """Wait for some seconds.

        Raises:
            StoppedError: the judge was stopped.
        """
        if self._stopped.wait(max(0.0, seconds)):
            raise StoppedError

    def stop(self) -> None:
        """Allow no further requests, and wake all waiting threads."""
        self._stopped.set()


class TimeLimit(AbstractContextManager["TimeLimit"]):
    """Breaks the connection of a request that takes too long as a whole; HTTP clients limit only the time per read.

    Attributes:
        over: whether the time is over.
    """

    def __init__(self, seconds: float) -> None:
        """Set the time limit, which starts with the context."""
        self.over = False
        self._connection: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> TimeLimit:
        """Start the time."""
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel the limit."""
        self._timer.cancel()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Remember the connection of the request; a callback for the extension `trace` of httpx.

        Raises:
            TimeoutError: the time was over before there was a connection.
        """
        get_extra_info = getattr(info.get("return_value"), "get_extra_info", None)
        if get_extra_info is not None:  # the return value is a connection
            self._connection = get_extra_info("socket")
            if self.over:
                raise TimeoutError

    def _end(self) -> None:
        self.over = True
        if self._connection is not None:
            with suppress(OSError):  # already closed
                self._connection.shutdown(socket.SHUT_RDWR)  # wakes a reading thread, unlike close
