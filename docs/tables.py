"""Writes tables of results into docs/experiments.md and docs/results.md between their markers: `python docs/tables.py`.

Rows and the paper's numbers are those of `experiments/sweeps/table_4.yaml`, ours those of `docs/results/table_4.md`.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # found without an installation, too

from ablation.reproducing.column import BenchmarkColumn
from ablation.reproducing.paper_table import PaperRow, PaperTable, paper_entry, paper_table

REPORT = Path("docs/results/table_4.md")
PAGES = (Path("docs/experiments.md"), Path("docs/results.md"))
_TABLE = re.compile(r"(<!-- (\w+): written by docs/tables\.py -->\n).*?(<!-- end -->)", re.DOTALL)


def reported(file: Path) -> dict[str, dict[str, str]]:
    """Return experiment -> head -> cell of the first table of a report of `compare`."""
    lines = file.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    heads, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {row[0]: dict(zip(heads, row, strict=True)) for row in rows}


def written(page: str, table: PaperTable, report: dict[str, dict[str, str]]) -> str:
    """Return a page with the tables between its markers as they must be.

    Raises:
        ValueError: a marker that names no table.
    """
    tables = {"experiments": experiments, "beside_the_paper": beside_the_paper}

    def made(block: re.Match[str]) -> str:
        if block[2] not in tables:
            raise ValueError(f"{block[2]!r} is no table of results; known: {', '.join(tables)}")
        return block[1] + tables[block[2]](table, report) + block[3]

    return _TABLE.sub(made, page)


def experiments(table: PaperTable, report: dict[str, dict[str, str]]) -> str:
    """Return each row with its file, the paper's numbers and our mean."""
    heads = ["row of Table 4", "file", *_of_paper(table), "ours: ShapesInMotion, toy scale, %"]
    return _markdown(
        heads,
        [
            [
                row.label,
                f"`{row.file}`",
                *(_spaced(column, row) for column in _columns(table)),
                report[row.experiment]["all, %"].split()[0],
            ]
            for row in table.rows
        ],
    )


def beside_the_paper(table: PaperTable, report: dict[str, dict[str, str]]) -> str:
    """Return the paper's accuracies with their differences from the full model, and ours."""
    heads = ["", *_of_paper(table), "ours, %", "ours, from full", "verdict"]
    rows = []
    for row in table.rows:
        gaps = [table.paper_gap(row, column) for column in _columns(table)]
        accuracies = [paper_entry(column, row).text.split("/")[0] for column in _columns(table)]
        paper = [
            accuracy if gap is None else f"{accuracy} ({gap:+.1f})"
            for accuracy, gap in zip(accuracies, gaps, strict=True)
        ]
        rows.append([row.label, *paper, *_ours(row, report)])
    return _markdown(heads, rows)


def _columns(table: PaperTable) -> list[BenchmarkColumn]:
    return [column for column in table.columns if isinstance(column, BenchmarkColumn)]


def _of_paper(table: PaperTable) -> list[str]:
    return [f"{column.title} in the paper" for column in _columns(table)]


def _spaced(column: BenchmarkColumn, row: PaperRow) -> str:
    return paper_entry(column, row).text.replace("/", " / ")


def _ours(row: PaperRow, report: dict[str, dict[str, str]]) -> list[str]:
    cells = report[row.experiment]
    return [cells["all, %"], cells["difference"], cells["verdict"].replace("baseline", "")]


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cells)} |\n".replace("|  ", "| ") for cells in lines)


if __name__ == "__main__":
    for file in PAGES:
        file.write_text(written(file.read_text(encoding="utf-8"), paper_table("4"), reported(REPORT)), encoding="utf-8")
