"""The paper's numbers alone."""

from __future__ import annotations

from collections.abc import Sequence

from ablation.reproducing.column import Asked
from ablation.reproducing.paper_table import PaperRow, PaperTable
from ablation.reproducing.sheet import Entry, Sheet

NOTHING = Entry("-")


def paper_sheet(table: PaperTable, rows: Sequence[PaperRow], notes: Sequence[str] = ()) -> Sheet:
    """Return the rows with the paper's numbers, and the experiment of each that is trained here.

    Args:
        table: of the paper.
        rows: that are shown.
        notes: what is to be said below it.
    """
    columns = [column for column in table.columns if isinstance(column, Asked)]
    return Sheet(
        f"Table {table.number} of the paper, {table.title}: the paper's numbers",
        ["row", "experiment", *(f"paper: {column.title}" for column in columns)],
        [
            [
                Entry(row.label),
                Entry(row.experiment or "not trained here"),
                *(paper_entry(column, row) for column in columns),
            ]
            for row in rows
        ],
        notes,
    )


def paper_entry(column: Asked, row: PaperRow, behind: str = "") -> Entry:
    """Return the paper's numbers as it prints them.

    Args:
        column: of the table.
        row: of the table.
        behind: what is said behind them.
    """
    numbers = row.numbers.get(column.key)
    if not numbers:
        return NOTHING
    shown = [
        "-" if number is None else f"{number:.{measure.paper_digits}f}"
        for number, measure in zip(numbers, column.measures, strict=True)
    ]
    return Entry("/".join(shown) + behind, value=numbers[0])
