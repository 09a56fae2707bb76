"""The display of a sweep's runs: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from datamodules.printable import printable, say

BETWEEN_LINES = 60.0  # seconds between lines about running jobs, if the output is not a terminal


class Lines(AbstractContextManager["Lines"]):
    """Prints events and progress as plain lines, for a file or a pipe."""

    def __init__(self) -> None:
        self._shown = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the display."""

    def say(self, line: str) -> None:
        """Print an event with the time of day."""
        say(f"{time.strftime('%H:%M:%S')}  {printable(line)}")

    def show(self, board: Board) -> None:
        """Print the progress of running jobs, at most every `BETWEEN_LINES` seconds."""
        if time.monotonic() - self._shown < BETWEEN_LINES:
            return
        self._shown = time.monotonic()
        for row in board.rows:
            parts = (row.progress(), row.figure, left(row.seconds_left))
            self.say(f"runs      {row.job}: {', '.join(part for part in parts if part)}")
        self.say(board.counts())


class LiveTable(Lines):
    """A live table at the bottom of a terminal, below the lines about events."""

    def __init__(self, console: Console | None = None) -> None:
        """Set the terminal; None for standard output."""
        # No refresh thread, since child processes are started from this one.
        self._live = Live(console=console or Console(), auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        """Start the display."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the table; lines about events stay."""
        self._live.stop()

    def say(self, line: str) -> None:
        """Print an event above the table."""
        self._live.console.print(Text(f"{time.strftime('%H:%M:%S')}  {printable(line)}"), soft_wrap=True)

    def show(self, board: Board) -> None:
        """Redraw the table."""
        self._live.update(drawn(board), refresh=True)


def drawn(board: Board) -> Group:
    """Return the table as a renderable of rich."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for row in board.rows:
        share = row.step / row.steps if row.steps else 0
        bar = "━" * round(20 * min(share, 1.0))
        table.add_row(
            Text(printable(row.job)),
            Text(f"{bar:<20}"),
            Text(printable(row.progress())),
            Text(printable(row.figure)),
            left(row.seconds_left),
        )
    return Group(table, Text(board.counts(), style="bold"))


def display() -> Lines:
    """Return the display for standard output."""
    return LiveTable() if sys.stdout.isatty() else Lines()


@dataclass(frozen=True)
class Row:
    """A job that is being trained.

    Attributes:
        job: id of the job.
        step: current step, counted over all stages of a chain.
        steps: number of steps of all stages; None if unknown.
        figure: latest figure as text.
        seconds_left: expected remaining seconds; None if unknown.
        stage: current stage of a chain; empty without one.
    """

    job: str
    step: int
    steps: int | None
    figure: str
    seconds_left: float | None
    stage: str = ""

    def progress(self) -> str:
        """Return the current step as text."""
        stage = f"{self.stage}: " * bool(self.stage)
        if not self.step:
            return f"{stage}starts"
        if self.steps is None:
            return f"{stage}step {self.step:,}"
        return f"{stage}tests" if self.step > self.steps else f"{stage}step {self.step:,} of {self.steps:,}"


@dataclass(frozen=True)
class Board:
    """The state of all jobs of a sweep.

    Attributes:
        rows: jobs that are being trained.
        finished: number of finished jobs.
        failed: number of failed jobs.
        waiting: number of waiting jobs.
        seconds_left: expected seconds until all jobs are finished; None if unknown.
    """

    rows: Sequence[Row]
    finished: int
    failed: int
    waiting: int
    seconds_left: float | None

    def counts(self) -> str:
        """Return the line with the numbers of jobs and the expected time."""
        counts = f"{self.finished} finished, {len(self.rows)} running, {self.waiting} waiting, {self.failed} failed"
        return f"{counts}; {left(self.seconds_left)}" if self.seconds_left is not None else counts


def left(seconds: float | None) -> str:
    """Return the remaining time as text; empty if unknown."""
    return "" if seconds is None else f"about {duration(seconds)} left"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 run`, `12 runs`."""
    return f"{number:,} {noun}{'s' if number != 1 else ''}"


def duration(seconds: float) -> str:
    """Return a duration as text: `40 s`, `12 min`, `3 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
