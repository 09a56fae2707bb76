"""A table as it is shown: for the terminal and Markdown, as CSV, for LaTeX with booktabs, and on a page."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ablation.comparing.latex import escaped
from datamodules.printable import table
from lightning_modules.scoring.interval import Interval

WIDEST = 200  # characters of a line of a table for LaTeX; intervals of a wider one have no room on a page


@dataclass(frozen=True)
class Entry:
    """What stands in a cell.

    Attributes:
        text: as it is shown.
        short: without bounds, where there is no room for them.
        value: as a number, where it is one, in the unit of its column.
        low: bound of it.
        high: bound of it.
    """

    text: str = ""
    short: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def measured(cls, interval: Interval, unit: float, text: str, short: str) -> Entry:
        """Return an estimate; `unit` is what its shares are multiplied by."""
        return cls(text, short, *(unit * each for each in (interval.value, interval.low, interval.high)))


@dataclass(frozen=True)
class Sheet:
    """A table with what is to be known of it.

    Attributes:
        title: of it.
        heads: of its columns; the first is that of the rows.
        rows: as many entries each.
        notes: a sentence each.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Entry]]
    notes: Sequence[str]

    def text(self, columns: int | None = None) -> str:
        """Return it as plain text that is Markdown too; without bounds where it does not fit into so many columns."""
        shown = table(self.heads, self.cells(columns))
        return "\n\n".join(filter(None, [self.title, shown, "\n".join(f"- {note}" for note in self.notes)]))

    def cells(self, columns: int | None = None) -> list[list[str]]:
        """Return the words of each row, in short where the table is wider than this."""
        cells = [[entry.text for entry in row] for row in self.rows]
        if columns is None or len(table(self.heads, cells).splitlines()[0]) <= columns:
            return cells
        return [[entry.text if entry.short is None else entry.short for entry in row] for row in self.rows]


def as_text(sheets: Sequence[Sheet], columns: int | None = None) -> str:
    """Return all of them."""
    return "\n\n".join(sheet.text(columns) for sheet in sheets)


def as_csv(sheets: Sequence[Sheet]) -> str:
    """Return a line per cell, with its numbers as they are and not as they are shown."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["table", "row", "column", "text", "value", "low", "high"])
    for sheet in sheets:
        for label, *entries in sheet.rows:
            for head, entry in zip(sheet.heads[1:], entries, strict=True):
                if entry.text:
                    numbers = ("" if each is None else each for each in (entry.value, entry.low, entry.high))
                    writer.writerow([sheet.title, label.text, head, entry.text, *numbers])
    return file.getvalue()


def as_latex(sheets: Sequence[Sheet]) -> str:
    """Return a table for booktabs each."""
    return r"% needs \usepackage{booktabs}" + "\n" + "\n".join(map(_latex, sheets))


def as_page(sheets: Sequence[Sheet], title: str) -> str:
    """Return one HTML file that needs nothing else."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html.jinja").render(sheets=sheets, title=title)


def _latex(sheet: Sheet) -> str:
    def line(cells: Sequence[str]) -> str:
        return " & ".join(map(escaped, cells)) + r" \\"

    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\begin{{tabular}}{{l{'r' * (len(sheet.heads) - 1)}}}",
            r"\toprule",
            line(sheet.heads),
            r"\midrule",
            *map(line, sheet.cells(WIDEST)),
            r"\bottomrule",
            r"\end{tabular}",
            rf"\caption{{{escaped(' '.join([f'{sheet.title}.', *sheet.notes]))}}}",
            r"\end{table}",
            "",
        ]
    )
