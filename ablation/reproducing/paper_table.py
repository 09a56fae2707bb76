"""The tables of the paper, as data that `sweep` reads too: `experiments/sweeps/table_4.yaml`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.comparing.report import NOTHING, Entry, Table
from ablation.reproducing.column import Asked, AspectScore, Choices, Column, Cost, OpenAnswers, known_benchmark
from lightning_modules.config.chain import read_config

TABLES = Path("experiments/sweeps")
Numbers = tuple[float | None, ...]  # accuracy and score of a judge, or one number; None where the paper has none


@dataclass(frozen=True, eq=False)
class PaperRow:
    """A row of a table.

    Attributes:
        label: about what the paper calls it.
        file: config file of its experiment; None of a model that is not trained here.
        numbers: column -> the paper's numbers; empty for a row that the paper does not have.
    """

    label: str
    file: Path | None
    numbers: Mapping[str, Numbers]

    @property
    def experiment(self) -> str:
        """Name of the experiment; empty if there is none."""
        return self.file.stem if self.file else ""


@dataclass(frozen=True)
class PaperTable:
    """A table.

    Attributes:
        number: its number in the paper.
        title: what it is about.
        columns: what it has of each row.
        rows: rows in the paper's order.
        base: row that the others are compared with.
        seeds: how many seeds each row is trained with.
        stages: config files of the stages that its rows need in a row; none where one training shows something too.
        notes: what is to be known of the paper's numbers.
    """

    number: int
    title: str
    columns: tuple[Column, ...]
    rows: tuple[PaperRow, ...]
    base: PaperRow
    seeds: int
    stages: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def paper_gap(self, row: PaperRow, column: Column) -> float | None:
        """Return how far the paper's first number of a row is from that of the full model; None where there is none."""
        ours, base = row.numbers.get(column.key), self.base.numbers[column.key]
        if row is self.base or not ours or ours[0] is None or base[0] is None:
            return None
        return ours[0] - base[0]


def known_tables() -> list[int]:
    """Return the numbers of the tables that there are."""
    return sorted(int(path.stem.removeprefix("table_")) for path in TABLES.glob("table_*.yaml"))


def paper_table(name: str) -> PaperTable:
    """Return a table by its name: `table-4`, `table_4` or `4`.

    Raises:
        ValueError: there is none of this name, or this is not the folder of the repository.
    """
    named = re.fullmatch(r"(?:table[-_ ]?)?(\d+)", name.strip().lower())
    number = int(named[1]) if named else None
    if number == 6:
        raise ValueError("Table 6 has the settings of the stages and no results; they are in configs/stage")
    if not TABLES.is_dir():
        raise ValueError(f"{TABLES} does not exist here; give the command in the folder of the repository")
    if number not in known_tables():
        known = ", ".join(f"table-{number}" for number in known_tables())
        raise ValueError(f"unknown table {name!r}; known: {known}")
    return _read(TABLES / f"table_{number}.yaml", number)


def paper_numbers(table: PaperTable, rows: Sequence[PaperRow], notes: Sequence[str] = ()) -> Table:
    """Return the rows with the paper's numbers alone, and the experiment of each that is trained here.

    Args:
        table: table of the paper.
        rows: rows that are shown.
        notes: sentences below the table.
    """
    columns = [column for column in table.columns if isinstance(column, Asked)]
    return Table(
        f"Table {table.number} of the paper, {table.title}: the paper's numbers",
        ["row", "experiment", *(f"paper: {column.title}" for column in columns)],
        [[*row_entries(row), *(paper_entry(column, row) for column in columns)] for row in rows],
        notes,
    )


def row_entries(row: PaperRow) -> list[Entry]:
    """Return what a row and its experiment are called."""
    return [Entry(row.label), Entry(row.experiment or "not trained here")]


def paper_entry(column: Asked, row: PaperRow, gap: float | None = None) -> Entry:
    """Return the paper's numbers as it prints them, and in brackets how far the first is from the full model's."""
    numbers = row.numbers.get(column.key)
    if not numbers:
        return NOTHING
    shown = [
        "-" if number is None else f"{number:.{measure.paper_digits}f}"
        for number, measure in zip(numbers, column.measures, strict=True)
    ]
    first = () if numbers[0] is None else (numbers[0],)
    return Entry("/".join(shown), numbers=first, difference=None if gap is None else gap_entry(column, gap))


def gap_entry(column: Asked, gap: float) -> Entry:
    """Return how far a number of the paper is from the full model's."""
    return Entry(f"{gap:+.{column.measures[0].paper_digits}f}", numbers=(gap,))


def _read(path: Path, number: int) -> PaperTable:
    content = read_config(path)
    columns = tuple(_columns(content))
    keys = {column.key for column in columns}
    rows = tuple(
        PaperRow(
            row["row"],
            _beside(path, row["experiment"]) if "experiment" in row else None,
            {key: _numbers(row[key]) for key in keys & row.keys()},
        )
        for row in content["rows"]
    )
    return PaperTable(
        number,
        content["title"],
        columns,
        rows,
        next(row for row in rows if row.file == _beside(path, content["baseline"])),
        content["seeds"],
        tuple(str(_beside(path, stage)) for stage in content.get("stages", ())),
        tuple(content.get("notes", ())),
    )


def _beside(path: Path, file: str) -> Path:
    """Return a file that is named relative to the folder of the table's, without the way back."""
    return Path(os.path.normpath(path.parent / file))


def _columns(content: Mapping[str, Any]) -> list[Column]:
    columns: list[Column] = [Cost(key, title) for key, title in content.get("costs", {}).items()]
    for name, title in content.get("benchmarks", {}).items():
        benchmark = known_benchmark(name)
        if "aspects" in content:
            columns += [AspectScore(aspect, aspect, benchmark) for aspect in content["aspects"]]
        else:
            columns.append((OpenAnswers if benchmark.judge else Choices)(name, title, benchmark))
    return columns


def _numbers(cell: str | float) -> Numbers:
    """Read `64.7/3.8`, `64.8/-` or `36.4`."""
    return tuple(None if part == "-" else float(part) for part in str(cell).split("/"))
