"""Tables of a report and their four forms: text that is Markdown too, CSV, LaTeX with booktabs, and an HTML page."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ablation.comparing.verdict import Word
from datamodules.printable import table as plain_table
from lightning_modules.scoring.interval import Interval
from lightning_modules.scoring.metrics import Unit

WIDEST = 200  # characters of a row in LaTeX; a page has no room for bounds in longer rows
_LATEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}
COLOURS: Mapping[Word, str] = {
    Word.BETTER: "better",
    Word.WORSE: "worse",
    Word.SAME: "same",
    Word.TOO_FEW: "few",
}  # CSS classes


@dataclass(frozen=True)
class Entry:
    """The content of a table cell.

    Attributes:
        text: words or a number, as displayed.
        bounds: interval of the number in brackets, left out if there is no room for it.
        mark: mark after text and bounds, such as the sign of a verdict.
        numbers: the number and its bounds, if any, in the unit of the column; empty for words.
        difference: difference of the number from the baseline's, shown after it in parentheses.
        verdict: verdict on the number, which colours the cell on a page; better or worse is bold in LaTeX.
        shade: strength of the verdict's colour, 0 to 1; None for a coloured dot before the text.
        below: small print below the text on a page.
        hint: tooltip on a page.
    """

    text: str = ""
    bounds: str = ""
    mark: str = ""
    numbers: tuple[float, ...] = ()
    difference: Entry | None = None
    verdict: Word | None = None
    shade: float | None = None
    below: str = ""
    hint: str = ""

    @classmethod
    def measured(cls, interval: Interval, unit: Unit, sign: bool = False, **more: Any) -> Entry:
        """Return the entry of an estimate with its bounds; `sign` adds a plus sign, for differences."""
        shares = (interval.value, interval.low, interval.high)
        value, low, high = (unit.value(share, sign) for share in shares)
        return cls(value, f"[{low}, {high}]", numbers=tuple(unit.best * share for share in shares), **more)

    @property
    def whole(self) -> str:
        """Text, bounds, mark and difference in one line."""
        behind = f"({self.difference.whole})" if self.difference else ""
        return " ".join(filter(None, (self.text, self.bounds, self.mark, behind)))

    @property
    def short(self) -> Entry:
        """The same entry without bounds."""
        return replace(self, bounds="", difference=self.difference and self.difference.short)

    @property
    def colour(self) -> str:
        """CSS class of the verdict; empty without one."""
        return COLOURS[self.verdict] if self.verdict else ""


NOTHING = Entry("-")


@dataclass(frozen=True)
class Table:
    """A table with notes.

    Attributes:
        title: title of the table; empty if its context says what it is.
        heads: headings of the columns, the first for the names of rows.
        rows: rows with an entry for each column.
        notes: sentences below the table.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Entry]]
    notes: Sequence[str] = ()

    def text(self, columns: int | None = None) -> str:
        """Return the table as text that is also Markdown; without bounds if these exceed `columns` characters."""
        rows = self.fitting(columns)
        shown = plain_table(self.heads, [[entry.whole for entry in row] for row in rows])
        return "\n\n".join(filter(None, [self.title, shown, "\n".join(f"- {note}" for note in self.notes)]))

    def fitting(self, columns: int | None) -> Sequence[Sequence[Entry]]:
        """Return the rows; without bounds if a line would be longer than `columns` characters."""
        lines = plain_table(self.heads, [[entry.whole for entry in row] for row in self.rows]).splitlines()
        if columns is None or len(lines[0]) <= columns:
            return self.rows
        return [[entry.short for entry in row] for row in self.rows]

    def beside(self, other: Table) -> Table:
        """Return the table with the columns of another table of the same rows appended."""
        rows = [[*row, *further] for row, (_, *further) in zip(self.rows, other.rows, strict=True)]
        return replace(self, heads=[*self.heads, *other.heads[1:]], rows=rows)

    @property
    def numeric(self) -> list[bool]:
        """Whether each column has any number, and so is aligned to the right."""
        return [any(entry.numbers for entry in column) for column in zip(*self.rows, strict=True)]


def as_text(tables: Sequence[Table], columns: int | None = None) -> str:
    """Return tables as text that is also Markdown."""
    return "\n\n".join(table.text(columns) for table in tables)


def as_csv(lines: Sequence[Mapping[str, object]]) -> str:
    """Return at least one line as CSV; all lines have the same columns."""
    file = io.StringIO()
    writer = csv.DictWriter(file, fieldnames=list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue()


def as_latex(tables: Sequence[Table], widest: int | None = WIDEST) -> str:
    """Return tables as LaTeX with booktabs; captions consist of title and notes."""
    return r"% needs \usepackage{booktabs}" + "\n" + "\n".join(_latex_table(table, widest) for table in tables)


def page_templates() -> Environment:
    """Return the templates of pages, which are self-contained HTML files."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )


def as_page(tables: Sequence[Table], title: str) -> str:
    """Return tables as an HTML page."""
    return page_templates().get_template("report.html.jinja").render(tables=tables, title=title)


def escaped(text: str) -> str:
    """Return text with LaTeX's special characters escaped."""
    return "".join(_LATEX.get(character, character) for character in text)


def _latex_table(table: Table, widest: int | None) -> str:
    rows = [list(map(_latex_entry, row)) for row in table.fitting(widest)]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\begin{{tabular}}{{l{'r' * (len(table.heads) - 1)}}}",
            r"\toprule",
            " & ".join(map(escaped, table.heads)) + r" \\",
            r"\midrule",
            *(" & ".join(cells) + r" \\" for cells in rows),
            r"\bottomrule",
            r"\end{tabular}",
            rf"\caption{{{escaped(' '.join([*([f'{table.title}.'] if table.title else []), *table.notes]))}}}",
            r"\end{table}",
            "",
        ]
    )


def _latex_entry(entry: Entry) -> str:
    text = "--" if entry == NOTHING else escaped(entry.text)
    if entry.numbers:
        text = entry.text.replace(",", "{,}") + (rf"\ {entry.bounds}" if entry.bounds else "")
        text = rf"$\mathbf{{{text}}}$" if entry.verdict in (Word.BETTER, Word.WORSE) else f"${text}$"
    behind = f"({_latex_entry(entry.difference)})" if entry.difference else ""
    return " ".join(filter(None, (text, escaped(entry.mark), behind)))
