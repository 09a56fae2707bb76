"""Ctrl-C and the signals that stand for it, noted until the sweep has time for them."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopping:
    """Within it, these signals end nothing, but are counted.

    Attributes:
        number: of the first signal; 0 if none came.
        times: how many came.
    """

    def __init__(self) -> None:
        self.number = 0
        self.times = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Listen; not to what this process was started deaf to, as a background job is to Ctrl-C."""
        for number in STOPPING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no longer."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = self.number or number
        self.times += 1
