"""What a sweep shows of its runs: a table that is kept up to date in a terminal, plain lines elsewhere."""

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

BETWEEN_LINES = 60.0  # seconds between two looks at what is running, where the output is no terminal


class Lines(AbstractContextManager["Lines"]):
    """Says what happens, and shows how far everything is, in plain lines, for a file or a pipe."""

    def __init__(self) -> None:
        self._shown = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show no longer."""

    def say(self, line: str) -> None:
        """Say that something happened, with the time of day."""
        say(f"{time.strftime('%H:%M:%S')}  {printable(line)}")

    def show(self, board: Board) -> None:
        """Say how far every running job is, now and then; called often."""
        if time.monotonic() - self._shown < BETWEEN_LINES:
            return
        self._shown = time.monotonic()
        for row in board.rows:
            parts = (row.how_far(), row.figure, left(row.seconds_left))
            self.say(f"runs      {row.job}: {', '.join(part for part in parts if part)}")
        self.say(board.counts())


class LiveTable(Lines):
    """A table at the foot of a terminal, below the lines that say what happened."""

    def __init__(self, console: Console | None = None) -> None:
        """Take the terminal to draw on; None is standard output."""
        # Drawn by this thread: children are started from it, and there is to be no other.
        self._live = Live(console=console or Console(), auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the table away; lines stay."""
        self._live.stop()

    def say(self, line: str) -> None:
        """Print it above the table."""
        self._live.console.print(Text(f"{time.strftime('%H:%M:%S')}  {printable(line)}"), soft_wrap=True)

    def show(self, board: Board) -> None:
        """Draw the table anew."""
        self._live.update(drawn(board), refresh=True)


def drawn(board: Board) -> Group:
    """Return the table as rich draws it."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for row in board.rows:
        share = row.step / row.steps if row.steps else 0
        bar = "━" * round(20 * min(share, 1.0))
        table.add_row(
            Text(printable(row.job)),
            Text(f"{bar:<20}"),
            Text(printable(row.how_far())),
            Text(printable(row.figure)),
            left(row.seconds_left),
        )
    return Group(table, Text(board.counts(), style="bold"))


def display() -> Lines:
    """Return what suits the output."""
    return LiveTable() if sys.stdout.isatty() else Lines()


@dataclass(frozen=True)
class Row:
    """A job that is being trained.

    Attributes:
        job: id of the job.
        step: step that it is in.
        steps: steps of its training, of all stages of a chain; None if not known.
        figure: what it has reached, in words.
        seconds_left: None as long as nobody can tell.
        stage: stage of a chain that it is in.
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
        rows: jobs that are being trained.
        finished: how many jobs are finished.
        failed: how many jobs failed.
        waiting: how many jobs wait.
        seconds_left: time until all are finished; None as long as nobody can tell.
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


def counted(number: int, noun: str) -> str:
    """Return a number of things: `1 run`, `12 runs`."""
    return f"{number:,} {noun}{'s' if number != 1 else ''}"


def duration(seconds: float) -> str:
    """Return a time as one reads it: `40 s`, `12 min`, `3 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
