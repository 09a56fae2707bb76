"""The tables of the paper, from files that `sweep` can read too: `experiments/sweeps/table_4.yaml`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.comparing.report import NOTHING, Entry, Table
from ablation.reproducing.column import AspectScore, BenchmarkColumn, Choices, Column, Cost, OpenAnswers, read_benchmark
from lightning_modules.config.chain import read_config
from lightning_modules.config.packaged import beside, found, packaged_files

TABLES = Path("experiments/sweeps")
Numbers = tuple[float | None, ...]  # accuracy and score of a judge, or one number; None for a missing number


@dataclass(frozen=True, eq=False)
class PaperRow:
    """A row of a table.

    Attributes:
        label: name of the row, close to the paper's.
        file: config file of the experiment; None for a model that is not trained here.
        numbers: the paper's numbers by column; empty for a row that the paper does not have.
    """

    label: str
    file: Path | None
    numbers: Mapping[str, Numbers]

    @property
    def experiment(self) -> str:
        """Name of the experiment; empty without one."""
        return self.file.stem if self.file else ""


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper.

    Attributes:
        number: number of the table in the paper.
        title: title of the table.
        columns: columns of the table.
        rows: rows in the paper's order.
        base: row that the others are compared with.
        seeds: number of seeds per row.
        stages: config files of the consecutive stages of a training; empty if a single training suffices.
        notes: notes on the paper's numbers.
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
        """Return the difference of the paper's first number from that of the full model; None if one is missing."""
        ours, base = row.numbers.get(column.key), self.base.numbers[column.key]
        if row is self.base or not ours or ours[0] is None or base[0] is None:
            return None
        return ours[0] - base[0]


def table_numbers() -> list[int]:
    """Return the numbers of all available tables."""
    return sorted(int(path.stem.removeprefix("table_")) for path in packaged_files(TABLES, "table_*.yaml"))


def paper_table(name: str) -> PaperTable:
    """Return a table by its name: `table-4`, `table_4` or `4`.

    Raises:
        ValueError: there is no such table.
    """
    match = re.fullmatch(r"(?:table[-_ ]?)?(\d+)", name.strip().lower())
    number = int(match[1]) if match else None
    if number == 6:
        raise ValueError("Table 6 has the settings of the stages and no results; they are in configs/stage")
    if number not in table_numbers():
        names = ", ".join(f"table-{number}" for number in table_numbers())
        raise ValueError(f"unknown table {name!r}; known: {names}")
    return _read(found(TABLES / f"table_{number}.yaml"), number)


def paper_numbers(table: PaperTable, rows: Sequence[PaperRow], notes: Sequence[str] = ()) -> Table:
    """Return a table of only the paper's numbers, with the experiments of the rows that are trained here.

    Args:
        table: table of the paper.
        rows: rows that are shown.
        notes: sentences below the table.
    """
    columns = [column for column in table.columns if isinstance(column, BenchmarkColumn)]
    return Table(
        f"Table {table.number} of the paper, {table.title}: the paper's numbers",
        ["row", "experiment", *(f"paper: {column.title}" for column in columns)],
        [[*row_entries(row), *(paper_entry(column, row) for column in columns)] for row in rows],
        notes,
    )


def row_entries(row: PaperRow) -> list[Entry]:
    """Return the entries for the names of a row and its experiment."""
    return [Entry(row.label), Entry(row.experiment or "not trained here")]


def paper_entry(column: BenchmarkColumn, row: PaperRow, gap: float | None = None) -> Entry:
    """Return the paper's numbers as printed there, with the difference of the first from the full model's."""
    numbers = row.numbers.get(column.key)
    if not numbers:
        return NOTHING
    shown = [
        "-" if number is None else f"{number:.{measure.paper_digits}f}"
        for number, measure in zip(numbers, column.measures, strict=True)
    ]
    first = () if numbers[0] is None else (numbers[0],)
    return Entry("/".join(shown), numbers=first, difference=None if gap is None else gap_entry(column, gap))


def gap_entry(column: BenchmarkColumn, gap: float) -> Entry:
    """Return the difference of a number in the paper from the full model's."""
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
    """Resolve a path relative to the folder of the table's file."""
    return Path(os.path.normpath(beside(path, file)))


def _columns(content: Mapping[str, Any]) -> list[Column]:
    columns: list[Column] = [Cost(key, title) for key, title in content.get("costs", {}).items()]
    for name, title in content.get("benchmarks", {}).items():
        benchmark = read_benchmark(name)
        if "aspects" in content:
            columns += [AspectScore(aspect, aspect, benchmark) for aspect in content["aspects"]]
        else:
            columns.append((OpenAnswers if benchmark.judge else Choices)(name, title, benchmark))
    return columns


def _numbers(cell: str | float) -> Numbers:
    """Read `64.7/3.8`, `64.8/-` or `36.4`."""
    return tuple(None if part == "-" else float(part) for part in str(cell).split("/"))
