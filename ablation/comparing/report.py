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
from lightning_modules.scoring.unit import Unit

WIDEST = 200  # characters of a row in LaTeX; a page has no room for the bounds of wider ones
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
}  # classes


@dataclass(frozen=True)
class Entry:
    """What stands in a cell of a table.

    Attributes:
        text: words or a number, as they are shown.
        bounds: interval of the number in brackets, left out where there is no room for it.
        mark: what stands behind both, such as the sign of a verdict.
        numbers: the number and its bounds, if it has any, in the unit of the column; none of words.
        difference: difference of the number from the baseline's, in brackets behind it.
        verdict: verdict on the number, which colours it on a page; in LaTeX, a better or worse one is bold.
        shade: how strongly the verdict colours the cell, 0 to 1; None: it is a dot before the text.
        below: small print below it on a page.
        hint: what a page shows when the mouse is over it.
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
        """Return an estimate with its bounds; a difference with its sign."""
        shares = (interval.value, interval.low, interval.high)
        value, low, high = (unit.value(share, sign) for share in shares)
        return cls(value, f"[{low}, {high}]", numbers=tuple(unit.best * share for share in shares), **more)

    @property
    def whole(self) -> str:
        """All of it in one line."""
        behind = f"({self.difference.whole})" if self.difference else ""
        return " ".join(filter(None, (self.text, self.bounds, self.mark, behind)))

    @property
    def short(self) -> Entry:
        """The same without bounds."""
        return replace(self, bounds="", difference=self.difference and self.difference.short)

    @property
    def colour(self) -> str:
        """Class of its verdict on a page; empty if it has none."""
        return COLOURS[self.verdict] if self.verdict else ""


NOTHING = Entry("-")


@dataclass(frozen=True)
class Table:
    """A table and what is to be known of it.

    Attributes:
        title: title of the table; empty where what stands before it says what it is.
        heads: heads of the columns; the first is that of the rows.
        rows: rows of as many entries.
        notes: sentences below the table.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Entry]]
    notes: Sequence[str] = ()

    def text(self, columns: int | None = None) -> str:
        """Return it as text that is Markdown too; without bounds where they do not fit into so many columns."""
        rows = self.fitting(columns)
        shown = plain_table(self.heads, [[entry.whole for entry in row] for row in rows])
        return "\n\n".join(filter(None, [self.title, shown, "\n".join(f"- {note}" for note in self.notes)]))

    def fitting(self, columns: int | None) -> Sequence[Sequence[Entry]]:
        """Return the rows, without bounds where a line would be longer than this."""
        lines = plain_table(self.heads, [[entry.whole for entry in row] for row in self.rows]).splitlines()
        if columns is None or len(lines[0]) <= columns:
            return self.rows
        return [[entry.short for entry in row] for row in self.rows]

    def beside(self, other: Table) -> Table:
        """Return it with the columns of another table of the same rows behind its own."""
        rows = [[*row, *further] for row, (_, *further) in zip(self.rows, other.rows, strict=True)]
        return replace(self, heads=[*self.heads, *other.heads[1:]], rows=rows)

    @property
    def of_numbers(self) -> list[bool]:
        """Whether each column has any number, and so stands to the right."""
        return [any(entry.numbers for entry in column) for column in zip(*self.rows, strict=True)]


def as_text(tables: Sequence[Table], columns: int | None = None) -> str:
    """Return tables as text that is Markdown too."""
    return "\n\n".join(table.text(columns) for table in tables)


def as_csv(lines: Sequence[Mapping[str, object]]) -> str:
    """Return lines of the same columns, at least one."""
    file = io.StringIO()
    writer = csv.DictWriter(file, fieldnames=list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue()


def as_latex(tables: Sequence[Table], widest: int | None = WIDEST) -> str:
    """Return tables for booktabs, each with its title and notes as caption."""
    return r"% needs \usepackage{booktabs}" + "\n" + "\n".join(_latex_table(table, widest) for table in tables)


def page_templates() -> Environment:
    """Return the templates of pages, which are one file each and need nothing else."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )


def as_page(tables: Sequence[Table], title: str) -> str:
    """Return tables as an HTML page."""
    return page_templates().get_template("report.html.jinja").render(tables=tables, title=title)


def escaped(words: str) -> str:
    """Return words in which no character means anything to LaTeX."""
    return "".join(_LATEX.get(character, character) for character in words)


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
