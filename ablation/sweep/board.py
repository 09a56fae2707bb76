"""What there is to show of a sweep at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A job that is being trained.

    Attributes:
        job: its name.
        step: that it is in.
        steps: of its training; None if not known.
        figure: what it has reached, in words.
        seconds_left: None as long as nobody can tell.
        stage: that it is in, of a chain; steps are then those of all its stages.
    """

    job: str
    step: int
    steps: int | None
    figure: str
    seconds_left: float | None
    stage: str = ""

    def how_far(self) -> str:
        """Return the step in words."""
        stage = f"{self.stage}: " * bool(self.stage)
        if not self.step:
            return f"{stage}starts"
        if self.steps is None:
            return f"{stage}step {self.step:,}"
        return f"{stage}tests" if self.step > self.steps else f"{stage}step {self.step:,} of {self.steps:,}"


@dataclass(frozen=True)
class Board:
    """All jobs.

    Attributes:
        rows: what is being trained.
        finished: how many jobs.
        failed: how many jobs.
        waiting: how many jobs.
        seconds_left: of all of them.
    """

    rows: Sequence[Row]
    finished: int
    failed: int
    waiting: int
    seconds_left: float | None

    def counts(self) -> str:
        """Return the last line."""
        counts = f"{self.finished} finished, {len(self.rows)} running, {self.waiting} waiting, {self.failed} failed"
        return f"{counts}; {left(self.seconds_left)}" if self.seconds_left is not None else counts


def left(seconds: float | None) -> str:
    """Return in words how long it still takes."""
    return "" if seconds is None else f"about {duration(seconds)} left"


def duration(seconds: float) -> str:
    """Return a time as one reads it: `40 s`, `12 min`, `3 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
