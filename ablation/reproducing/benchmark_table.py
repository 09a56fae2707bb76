"""Table of the paper's figures of a benchmark beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ablation.comparing.answer_rows import Answered
from ablation.comparing.comparison import ALL, Cell, compare
from ablation.comparing.entries import learnt_text, verdict_text
from ablation.comparing.experiment import Experiment
from ablation.comparing.obstacles import common_questions
from ablation.comparing.report import NOTHING, Entry, Table
from ablation.reproducing.column import BenchmarkColumn, Measure
from ablation.reproducing.paper_table import PaperRow, PaperTable, gap_entry, paper_entry, row_entries
from ablation.reproducing.tested import RowAnswers, evaluation_differences


def benchmark_table(
    table: PaperTable, rows: Sequence[PaperRow], column: BenchmarkColumn, answers: Sequence[RowAnswers]
) -> Table:
    """Return a table with the paper's figures, ours, whether both agree, and the differences from the full model.

    Args:
        table: table of the paper.
        rows: rows that are shown.
        column: column of the table.
        answers: answers of the rows that are trained here.
    """
    by_row = {row.trained.row: row for row in answers}
    figures = [_figures(table, answers, measure) for measure in column.measures]
    reasons = evaluation_differences(column, answers)
    tested = any(row.tested for row in answers)
    comparable = tested and not reasons
    heads = [
        *("row", "experiment", "paper"),
        *(f"ours: {measure.name}" for measure in column.measures),
        *(["agrees"] if comparable else []),
        *("paper, from full", "ours, from full", "verdict", "seeds"),
    ]
    return Table(
        f"Table {table.number} of the paper, {table.title}: {column.title}"
        + (f"; ours at {_scales(answers)} scale" if tested else ""),
        heads,
        [
            _row(table, row, column, [cells.get(row) for cells, _ in figures], by_row.get(row), comparable)
            for row in rows
        ],
        _notes(table, column, answers, figures[0][1], reasons),
    )


def _figures(table: PaperTable, answers: Sequence[RowAnswers], measure: Measure) -> tuple[Mapping[PaperRow, Cell], int]:
    """Return the figures of the tested rows, and the number of their questions, which are those common to all runs."""
    experiments = {}
    for row in answers:
        runs = {}
        for seed, tested in row.tested.items():
            answered = Answered(measure.marks(tested.run, tested.judgements), measure.full, measure.unit)
            runs[seed] = [replace(tested.run, answered=answered, figures={})]
        if runs and all(run.marks for attempts in runs.values() for run in attempts):
            experiments[row.trained.row] = Experiment(row.trained.name, runs)
    if not experiments or not common_questions([*experiments.values()]):
        return {}, 0
    base = experiments.get(table.base)
    comparison = compare(
        [*experiments.values()], base or next(iter(experiments.values())), None, although_different=True, scores=[ALL]
    )
    cells = {row.experiment.name: row.overall for row in comparison.rows}
    if base is None:
        cells = {name: replace(cell, difference=None, corrected=None, verdict=None) for name, cell in cells.items()}
    return {row: cells[experiment.name] for row, experiment in experiments.items()}, comparison.sizes[ALL][0]


def _row(
    table: PaperTable,
    row: PaperRow,
    column: BenchmarkColumn,
    cells: Sequence[Cell | None],
    answers: RowAnswers | None,
    comparable: bool,
) -> list[Entry]:
    missing = answers.missing if answers else ""
    first, unit = cells[0], column.measures[0].unit
    paper_gap, gap = table.paper_gap(row, column), first.difference if first else None
    nothing = "-" if answers is None else "no score" if first else missing or "no score"
    seeds = f"{len(first.seeds) if first else 0} of {len(answers.trained.seeds)}" if answers else "-"
    return [
        *row_entries(row),
        paper_entry(column, row),
        *(
            Entry.measured(cell.value.interval, measure.unit) if cell and cell.value else Entry(nothing)
            for measure, cell in zip(column.measures, cells, strict=True)
        ),
        *([Entry(_agrees(column, row, cells))] if comparable else []),
        NOTHING if paper_gap is None else gap_entry(column, paper_gap),
        NOTHING if gap is None else Entry.measured(gap.interval, unit, sign=True),
        Entry("baseline" if first and row is table.base else verdict_text(first) if first else "-"),
        Entry(seeds + "".join(f" ({words})" for words in (missing, learnt_text(first)) if words) if first else seeds),
    ]


def _agrees(column: BenchmarkColumn, row: PaperRow, cells: Sequence[Cell | None]) -> str:
    """Return whether ours agrees, yes or no, for each of the paper's numbers."""
    words = []
    for measure, number, cell in zip(column.measures, row.numbers.get(column.key, ()), cells, strict=False):
        if number is None or cell is None or cell.value is None:
            words.append("-")
        else:
            words.append("yes" if measure.agrees(number, cell.value.interval) else "no")
    return "/".join(words) or "-"


def _scales(answers: Sequence[RowAnswers]) -> str:
    """Return the scales of the tested runs, as recorded in them; empty if there are none."""
    return " and ".join(sorted({scale for row in answers if row.tested for scale in row.trained.scales}))


def _notes(
    table: PaperTable, column: BenchmarkColumn, answers: Sequence[RowAnswers], questions: int, reasons: Sequence[str]
) -> list[str]:
    runs = [tested.run for row in answers for tested in row.tested.values()]
    judge = column.benchmark.judge
    notes = [f"Paper: Table {table.number}{f', judged by {judge}' if judge else ''}."]
    if not runs:
        return [*notes, "Ours: nothing has been tested on this benchmark yet.", *table.notes]
    judges = sorted({run.answered.judge or "" for run in runs} - {""})
    by = f", judged by {' and '.join(judges)}" if judges else ""
    notes.append(
        f"Ours: {_scales(answers)} scale, by the runs' own record{by}; over the {questions:,} of"
        f" {column.benchmark.questions:,} questions that all runs have an answer with a verdict to."
    )
    notes.append(
        "In brackets: 95 % intervals over questions, and over seeds where there are several (in a difference, on both"
        " sides), whose variances are moderated over the rows; questions about one video go together."
    )
    notes.append(
        "Verdicts: p is corrected for all rows (Holm); differences matter from "
        + " or ".join(f"{measure.unit.smallest:g} {measure.unit.points}" for measure in column.measures)
        + "."
    )
    if reasons:
        notes.append(f"NOT comparable with the paper's numbers, and so not held against them: {'; '.join(reasons)}.")
    else:
        near = " or ".join(f"{measure.tolerance:g} ({measure.name})" for measure in column.measures)
        notes.append(
            f"Agrees: the paper's number lies in our interval, or within {near} of ours, since it is rounded, of one"
            " training, and by a judge that drifts."
        )
    return [*notes, *table.notes]
