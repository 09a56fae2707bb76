"""The tables of the paper, as data: `paper_tables/table_4.yaml`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.reproducing.column import AspectScore, Choices, Column, Cost, OpenAnswers
from ablation.reproducing.known_benchmark import known_benchmark
from lightning_modules.config.chain import read_config

FOLDER = Path(__file__).with_name("paper_tables")
BASE = "full"  # experiment that the others are compared with, in every table
Numbers = tuple[float | None, ...]  # accuracy and score of a judge, or one number; None where the paper has none


@dataclass(frozen=True, eq=False)
class PaperRow:
    """A row of a table.

    Attributes:
        label: what the paper calls it, about.
        file: its experiment; None of a model that is not trained here.
        numbers: column -> what the paper has; of no column, of a row that the paper has not.
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
        number: in the paper.
        title: what it is about.
        columns: what it has of each row.
        rows: in the paper's order.
        stages: config files of the stages that its rows need in a row; none where one training shows something too.
        notes: what is to be known of the paper's numbers.
    """

    number: int
    title: str
    columns: tuple[Column, ...]
    rows: tuple[PaperRow, ...]
    stages: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def base(self) -> PaperRow:
        """The row that the others are compared with."""
        return next(row for row in self.rows if row.experiment == BASE)

    def paper_gap(self, row: PaperRow, column: Column) -> float | None:
        """Return how far the paper's first number of a row is from that of the full model; None where there is none."""
        ours, base = row.numbers.get(column.key), self.base.numbers[column.key]
        if row is self.base or not ours or ours[0] is None or base[0] is None:
            return None
        return ours[0] - base[0]


def known_tables() -> list[int]:
    """Return the numbers of the tables that there are."""
    return sorted(int(path.stem.removeprefix("table_")) for path in FOLDER.glob("table_*.yaml"))


def paper_table(name: str) -> PaperTable:
    """Return a table by its name: `table-4`, `table_4` or `4`.

    Raises:
        ValueError: there is none of this name.
    """
    named = re.fullmatch(r"(?:table[-_ ]?)?(\d+)", name.strip().lower())
    number = int(named[1]) if named else None
    if number == 6:
        raise ValueError("Table 6 has the settings of the stages and no results; they are in configs/stage")
    if number not in known_tables():
        known = ", ".join(f"table-{each}" for each in known_tables())
        raise ValueError(f"unknown table {name!r}; known: {known}")
    return _read(FOLDER / f"table_{number}.yaml", number)


def _read(path: Path, number: int) -> PaperTable:
    content = read_config(path)
    columns = tuple(_columns(content))
    keys = {column.key for column in columns}
    rows = tuple(
        PaperRow(
            row["row"],
            Path("experiments", f"{row['experiment']}.yaml") if "experiment" in row else None,
            {key: _numbers(row[key]) for key in keys & row.keys()},
        )
        for row in content["rows"]
    )
    return PaperTable(
        number, content["title"], columns, rows, tuple(content.get("stages", ())), tuple(content.get("notes", ()))
    )


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
