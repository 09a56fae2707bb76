"""The paper's numbers beside results of the runs' own test, which are not comparable: its questions are others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablation.comparing.answer_rows import LeftOutError
from ablation.comparing.comparison import Cell, Comparison, compare
from ablation.comparing.entries import compared_entry, seeds_text, verdict_text
from ablation.comparing.experiment import Experiment
from ablation.comparing.report import NOTHING, Entry, Table
from ablation.comparing.run import Run, read_run
from ablation.comparing.tables import caption
from ablation.reproducing.column import BenchmarkColumn
from ablation.reproducing.paper_table import PaperRow, PaperTable, paper_entry, row_entries
from ablation.reproducing.tested import check_alike
from ablation.reproducing.trained import Trained
from lightning_modules.scoring.metrics import Unit


def find_own_tests(trained: Sequence[Trained], problems: list[str]) -> dict[PaperRow, Experiment]:
    """Return the tests at the end of trainings, by row.

    Args:
        trained: trainings of the rows.
        problems: list to which the left out runs are added, with reasons.
    """
    tests = {}
    for training in trained:
        seeds: dict[int, list[Run]] = {}
        for seed, folder in training.folders.items():
            try:
                seeds[seed] = [read_run(folder, "fit")]
            except LeftOutError as error:
                problems.append(f"{folder}: {error}")
        if seeds:
            tests[training.row] = Experiment(training.name, seeds)
    return tests


def own_tables(
    table: PaperTable, rows: Sequence[PaperRow], trained: Sequence[Trained], tests: Mapping[PaperRow, Experiment]
) -> list[Table]:
    """Return the table over all questions, and a table by family of questions if there are several.

    Args:
        table: table of the paper.
        rows: rows that are shown.
        trained: trainings of the rows that are trained here.
        tests: tests of these trainings, at least one.

    Raises:
        ValueError: the runs cannot be compared.
    """
    baseline = tests.get(table.base) or next(iter(tests.values()))
    check_alike(list(tests.values()), "trainings' own tests")
    comparison = compare(list(tests.values()), baseline, None, although_different=False)
    cells = {row.experiment.name: row.cells for row in comparison.rows}
    label = _description(trained, tests)
    columns = [column for column in table.columns if isinstance(column, BenchmarkColumn)]
    units = " / ".join(measure.name for measure in columns[0].measures)
    judge = f", judged by {columns[0].benchmark.judge}" if columns[0].benchmark.judge else ""
    by_row = {training.row: training for training in trained}
    overall, *_ = comparison.sizes

    def ours(row: PaperRow) -> list[Entry]:
        if row not in by_row:
            return [NOTHING] * 4
        if row not in tests:
            return [Entry("not tested" if by_row[row].folders else "not trained"), NOTHING, NOTHING, Entry("0")]
        return _ours(cells[tests[row].name][overall], comparison.unit)

    whole = Table(
        f"Table {table.number} of the paper, {table.title}: the paper's numbers, and beside them {label}",
        [
            *("row", "experiment"),
            *(f"paper: {column.title}" for column in columns),
            *(f"ours, {comparison.unit.sign}", f"ours, from {baseline.name}", "verdict", "seeds"),
        ],
        [
            [
                *row_entries(row),
                *(paper_entry(column, row, table.paper_gap(row, column)) for column in columns),
                *ours(row),
            ]
            for row in rows
        ],
        [
            f"Ours: {label}. NOT comparable with the paper's numbers: only the signs of differences can be looked at"
            " side by side.",
            f"Paper: Table {table.number}, {units}{judge}; in brackets how far the first is from the full model's.",
            *caption(comparison),
            *table.notes,
        ],
    )
    if len(comparison.sizes) == 1:
        return [whole]
    experiments = [tests[row] for row in rows if row in tests]
    return [
        whole,
        _families(f"Rows of Table {table.number} by family of questions, {label}", experiments, comparison),
    ]


def _description(trained: Sequence[Trained], tests: Mapping[PaperRow, Experiment]) -> str:
    """Return the data, scale and steps of training of the tests, as recorded in the runs."""
    runs = [run for experiment in tests.values() for run in experiment.runs]
    data = sorted({str((run.config.get("data") or {}).get("class_path", "")).rpartition(".")[2] for run in runs})
    scales = sorted({scale for training in trained if training.row in tests for scale in training.scales})
    steps = sorted({steps for training in trained if training.row in tests for steps in training.steps})
    length = [f"{' or '.join(f'{count:,}' for count in steps)} steps of training"] if steps else []
    return ", ".join([" and ".join(data), f"{' and '.join(scales)} scale", *length])


def _ours(cell: Cell, unit: Unit) -> list[Entry]:
    assert cell.value is not None
    gap = cell.difference
    return [
        Entry.measured(cell.value.interval, unit),
        Entry.measured(gap.interval, unit, sign=True) if gap else NOTHING,
        Entry(verdict_text(cell) if gap else "baseline"),
        Entry(seeds_text(cell, unit)),
    ]


def _families(title: str, experiments: Sequence[Experiment], comparison: Comparison) -> Table:
    """Return a table with a row per experiment and a column per family of questions."""
    cells = {row.experiment.name: row.cells for row in comparison.rows}
    return Table(
        title,
        ["experiment", *comparison.sizes],
        [
            [
                Entry(experiment.name),
                *(compared_entry(cells[experiment.name][name], comparison.unit) for name in comparison.sizes),
            ]
            for experiment in experiments
        ],
        [
            f"{comparison.unit.what}; in brackets the difference from {comparison.baseline}, with its 95 % interval"
            " where there is room, and its mark, as above.",
            "; ".join(f"{name}: {questions:,} questions" for name, (questions, _) in comparison.sizes.items()) + ".",
        ],
    )
