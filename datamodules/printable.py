"""Texts for a terminal or a page: made harmless where others wrote them, and laid out as tables."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Sequence
from typing import TextIO

# All control characters but tab and line feed, line ends and turns of direction of Unicode, and half characters.
_NOT_SHOWN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
STANDARD_OUTPUT = "standard output"


def printable(text: str) -> str:
    r"""Return `text` with `\x1b` and the like for what would steer a terminal or turn the text of a page around."""
    return _NOT_SHOWN.sub(lambda character: character[0].encode("unicode_escape").decode(), text)


def say(text: str = "", end: str = "\n", file: TextIO | None = None) -> None:
    """Print a text at once, printable whatever names and answers are in it; all programs print by this.

    Args:
        text: one line or several.
        end: what follows it.
        file: standard error, or by default standard output.

    Raises:
        OSError: standard output, which `filename` says, cannot be written, or nobody reads it any more.
    """
    try:
        print(printable(text), end=end, file=file, flush=True)
    except OSError as error:
        if file is not None and file is sys.stderr:  # there is nowhere to say so
            return
        error.filename = STANDARD_OUTPUT
        raise


class PrintableRecord(logging.LogRecord):
    """A message of a log with nothing in it that steers a terminal, whichever package it is of."""

    def getMessage(self) -> str:
        """Return the message with its arguments in it."""
        return printable(super().getMessage())


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under their heads as a Markdown table, the first column to the left and numbers to the right.

    Args:
        heads: of the columns.
        rows: as many cells each.
    """
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *rest = (f"{cell:{'<' if place == 0 else '>'}{widths[place]}}" for place, cell in enumerate(cells))
        return f"| {' | '.join([first, *rest])} |"

    rule = f"| {' | '.join(['-' * widths[0], *('-' * (width - 1) + ':' for width in widths[1:])])} |"
    return "\n".join([line(heads), rule, *map(line, rows)])
