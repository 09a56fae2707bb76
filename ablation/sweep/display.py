"""What a sweep shows: a table that is kept up to date in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ablation.sweep.board import Board, left
from datamodules.printable import printable, say

BETWEEN_LINES = 60.0  # seconds between two looks at what is running, where the output is no terminal


class Display(AbstractContextManager["Display"], ABC):
    """Says what happens, and shows how far everything is."""

    @abstractmethod
    def say(self, line: str) -> None:
        """Say that something happened."""

    @abstractmethod
    def show(self, board: Board) -> None:
        """Show how far everything is; called often."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show no longer."""


class Lines(Display):
    """Plain lines, for a file or a pipe."""

    def __init__(self) -> None:
        self._shown = time.monotonic()

    def say(self, line: str) -> None:
        """Print it with the time of day."""
        say(f"{time.strftime('%H:%M:%S')}  {printable(line)}")

    def show(self, board: Board) -> None:
        """Print a line per running job now and then."""
        if time.monotonic() - self._shown < BETWEEN_LINES:
            return
        self._shown = time.monotonic()
        for row in board.rows:
            parts = (row.how_far(), row.figure, left(row.seconds_left))
            self.say(f"runs      {row.job}: {', '.join(part for part in parts if part)}")
        self.say(board.counts())


class LiveTable(Display):
    """A table at the foot of a terminal, below the lines that say what happened."""

    def __init__(self, console: Console | None = None) -> None:
        """Take the terminal.

        Args:
            console: to draw on; None is standard output.
        """
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


def display() -> Display:
    """Return what suits the output."""
    return LiveTable() if sys.stdout.isatty() else Lines()
