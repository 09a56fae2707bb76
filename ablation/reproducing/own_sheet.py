"""The paper's numbers beside what the runs' own test came to, which is of other questions: not comparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablation.comparing.answer_rows import LeftOutError
from ablation.comparing.comparison import Cell, Comparison, compare
from ablation.comparing.experiment import Experiment
from ablation.comparing.run import Run, read_run
from ablation.comparing.tables import MARKS, caption, seeds_text, verdict_text
from ablation.reproducing.answers import check_alike
from ablation.reproducing.column import Asked
from ablation.reproducing.paper_sheet import NOTHING, paper_entry
from ablation.reproducing.paper_table import PaperRow, PaperTable
from ablation.reproducing.sheet import Entry, Sheet
from ablation.reproducing.trained import Trained
from lightning_modules.scoring.unit import PERCENT


def find_own_tests(trained: Sequence[Trained], problems: list[str]) -> dict[PaperRow, Experiment]:
    """Return the rows whose trainings ended with a test of their own.

    Args:
        trained: rows.
        problems: to which is added what was left out, and why.
    """
    found = {}
    for each in trained:
        seeds: dict[int, list[Run]] = {}
        for seed, folder in each.folders.items():
            try:
                seeds[seed] = [read_run(folder, "fit")]
            except LeftOutError as error:
                problems.append(f"{folder}: {error}")
        if seeds:
            found[each.row] = Experiment(each.name, seeds)
    return found


def own_sheets(
    table: PaperTable, rows: Sequence[PaperRow], trained: Sequence[Trained], tests: Mapping[PaperRow, Experiment]
) -> list[Sheet]:
    """Return the table of all questions, and that of each family of them.

    Args:
        table: of the paper.
        rows: that are shown.
        trained: those that are trained here.
        tests: their own tests, at least one.

    Raises:
        ValueError: the runs cannot be compared.
    """
    baseline = tests.get(table.base) or next(iter(tests.values()))
    check_alike(list(tests.values()), "trainings' own tests")
    comparison = compare(list(tests.values()), baseline, None, although_different=False)
    found = {row.experiment.name: row.cells for row in comparison.rows}
    what = _what(trained, tests)
    columns = [column for column in table.columns if isinstance(column, Asked)]
    units = " / ".join(measure.name for measure in columns[0].measures)
    judge = f", judged by {columns[0].benchmark.judge}" if columns[0].benchmark.judge else ""
    by_row = {each.row: each for each in trained}
    first, *_ = comparison.sizes
    sheet = Sheet(
        f"Table {table.number} of the paper, {table.title}: the paper's numbers, and beside them {what}",
        [
            "row",
            "experiment",
            *(f"paper: {column.title}" for column in columns),
            "ours, %",
            f"ours, from {baseline.name}",
            "verdict",
            "seeds",
        ],
        [
            [
                Entry(row.label),
                Entry(row.experiment or "not trained here"),
                *(paper_entry(column, row, _behind(table, row, column)) for column in columns),
                *_ours(row, tests, found, first, by_row.get(row)),
            ]
            for row in rows
        ],
        [
            f"Ours: {what}. NOT comparable with the paper's numbers: only the signs of differences can be looked at"
            " side by side.",
            f"Paper: Table {table.number}, {units}{judge}; in brackets how far the first is from the full model's.",
            *caption(comparison),
            *table.notes,
        ],
    )
    return [sheet, _families(table, what, rows, tests, comparison)] if len(comparison.sizes) > 1 else [sheet]


def _what(trained: Sequence[Trained], tests: Mapping[PaperRow, Experiment]) -> str:
    """Return which test it is, at which scale and after how many steps, by what the runs have kept."""
    runs = [run for experiment in tests.values() for run in experiment.runs]
    data = sorted({str((run.config.get("data") or {}).get("class_path", "")).rpartition(".")[2] for run in runs})
    scales = sorted({scale for each in trained if each.row in tests for scale in each.scales})
    steps = sorted({steps for each in trained if each.row in tests for steps in each.steps})
    length = [f"{' or '.join(f'{each:,}' for each in steps)} steps of training"] if steps else []
    return ", ".join([" and ".join(data), f"{' and '.join(scales)} scale", *length])


def _behind(table: PaperTable, row: PaperRow, column: Asked) -> str:
    gap = table.paper_gap(row, column)
    return "" if gap is None else f" ({gap:+.{column.measures[0].paper_digits}f})"


def _ours(
    row: PaperRow,
    tests: Mapping[PaperRow, Experiment],
    found: Mapping[str, Mapping[str, Cell]],
    score: str,
    trained: Trained | None,
) -> list[Entry]:
    if trained is None:
        return [NOTHING] * 4
    if row not in tests:
        return [Entry("not tested" if trained.folders else "not trained"), *[NOTHING] * 2, Entry("0")]
    cell = found[tests[row].name][score]
    assert cell.value is not None
    value, gap = cell.value.interval, cell.difference.interval if cell.difference else None
    return [
        Entry.measured(value, 100, PERCENT.bounds(value), PERCENT.value(value.value)),
        NOTHING if gap is None else Entry.measured(gap, 100, PERCENT.bounds(gap, sign=True), PERCENT.gap(gap.value)),
        Entry(verdict_text(cell) if gap else "baseline"),
        Entry(seeds_text(cell, PERCENT)),
    ]


def _families(
    table: PaperTable,
    what: str,
    rows: Sequence[PaperRow],
    tests: Mapping[PaperRow, Experiment],
    comparison: Comparison,
) -> Sheet:
    """Return a row per experiment and a column per family of questions."""
    found = {row.experiment.name: row.cells for row in comparison.rows}
    names = list(comparison.sizes)
    return Sheet(
        f"Rows of Table {table.number} by family of questions, {what}",
        ["experiment", *names],
        [
            [Entry(tests[row].name), *(_family(found[tests[row].name][name]) for name in names)]
            for row in rows
            if row in tests
        ],
        [
            f"Right answers in percent; in brackets the difference from {comparison.baseline}, with its 95 % interval"
            " where there is room, and its mark, as above.",
            "; ".join(f"{name}: {questions:,} questions" for name, (questions, _) in comparison.sizes.items()) + ".",
        ],
    )


def _family(cell: Cell) -> Entry:
    assert cell.value is not None
    value = cell.value.interval
    if cell.difference is None or cell.verdict is None:
        return Entry.measured(value, 100, PERCENT.bounds(value), PERCENT.value(value.value))
    shown, gap, mark = PERCENT.value(value.value), cell.difference.interval, MARKS[cell.verdict.word]
    return Entry.measured(
        value, 100, f"{shown} ({PERCENT.bounds(gap, sign=True)} {mark})", f"{shown} ({PERCENT.gap(gap.value)} {mark})"
    )
