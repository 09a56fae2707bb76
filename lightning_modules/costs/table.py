"""A table for the terminal that is Markdown too."""

from __future__ import annotations

from collections.abc import Sequence


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under their heads, the first column to the left and numbers to the right.

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
