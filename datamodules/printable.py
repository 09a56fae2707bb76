"""Texts for a terminal or a page: control characters are made visible, and tables are laid out."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Sequence
from typing import TextIO

# Control characters except tab and line feed, line ends and writing directions of Unicode, and lone surrogates.
_NOT_SHOWN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
STANDARD_OUTPUT = "standard output"


def printable(text: str) -> str:
    r"""Return `text` with control characters escaped, such as `\x1b`, so that it cannot control a terminal or page."""
    return _NOT_SHOWN.sub(lambda character: character[0].encode("unicode_escape").decode(), text)


def say(text: str = "", end: str = "\n", file: TextIO | None = None) -> None:
    """Print a text at once with control characters escaped; all programs print with this function.

    Args:
        text: one or more lines.
        end: text printed after it.
        file: stream to print to; None is standard output.

    Raises:
        OSError: standard output cannot be written, or its reader has ended; `filename` is `STANDARD_OUTPUT`.
    """
    try:
        print(printable(text), end=end, file=file, flush=True)
    except OSError as error:
        if file is not None and file is sys.stderr:  # the error cannot be reported anywhere
            return
        error.filename = STANDARD_OUTPUT
        raise


class PrintableRecord(logging.LogRecord):
    """A log record of any package, with control characters in its message escaped."""

    def getMessage(self) -> str:
        """Return the message with its arguments filled in."""
        return printable(super().getMessage())


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose first column is aligned to the left and all others to the right.

    Args:
        heads: heads of the columns.
        rows: cells of each row, one for each column.
    """
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *rest = (f"{cell:{'<' if place == 0 else '>'}{widths[place]}}" for place, cell in enumerate(cells))
        return f"| {' | '.join([first, *rest])} |"

    rule = f"| {' | '.join(['-' * widths[0], *('-' * (width - 1) + ':' for width in widths[1:])])} |"
    return "\n".join([line(heads), rule, *map(line, rows)])
