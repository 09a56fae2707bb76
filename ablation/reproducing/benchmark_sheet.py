"""The paper's figures of a benchmark beside ours."""

from __future__ import annotations

from collections.abc import Sequence

from ablation.comparing.comparison import Cell
from ablation.comparing.tables import learnt_text, verdict_text
from ablation.reproducing.answers import RowAnswers, not_as_in_the_paper
from ablation.reproducing.column import Asked
from ablation.reproducing.figures import figures
from ablation.reproducing.measure import Measure
from ablation.reproducing.paper_sheet import NOTHING, paper_entry
from ablation.reproducing.paper_table import PaperRow, PaperTable
from ablation.reproducing.sheet import Entry, Sheet
from lightning_modules.scoring.interval import Interval


def benchmark_sheet(table: PaperTable, rows: Sequence[PaperRow], column: Asked, answers: Sequence[RowAnswers]) -> Sheet:
    """Return the paper's figures, ours, whether both agree, and the differences from the full model.

    Args:
        table: of the paper.
        rows: that are shown.
        column: of the table.
        answers: of the rows that are trained here.
    """
    by_row = {each.trained.row: each for each in answers}
    found = [
        figures({row.label: each.marks(measure) for row, each in by_row.items()}, measure, table.base.label)
        for measure in column.measures
    ]
    reasons = not_as_in_the_paper(column, answers)
    held = not reasons and any(each.tested for each in answers)
    scales = f"; ours at {_scales(answers)} scale" if any(each.tested for each in answers) else ""
    return Sheet(
        f"Table {table.number} of the paper, {table.title}: {column.title}{scales}",
        [
            "row",
            "experiment",
            "paper",
            *(f"ours: {measure.name}" for measure in column.measures),
            *(["agrees"] if held else []),
            "paper, from full",
            "ours, from full",
            "verdict",
            "seeds",
        ],
        [_row(table, row, column, [cells.get(row.label) for cells, _ in found], by_row.get(row), held) for row in rows],
        _notes(table, column, answers, found[0][1], reasons),
    )


def _row(
    table: PaperTable,
    row: PaperRow,
    column: Asked,
    cells: Sequence[Cell | None],
    answers: RowAnswers | None,
    held: bool,
) -> list[Entry]:
    missing = answers.missing if answers else ""
    first, measure = cells[0], column.measures[0]
    paper_gap, gap = table.paper_gap(row, column), first.difference if first else None
    nothing = "-" if answers is None else "no score" if first else missing or "no score"
    seeds = f"{len(first.seeds) if first else 0} of {len(answers.trained.seeds)}" if answers else "-"
    return [
        Entry(row.label),
        Entry(row.experiment or "not trained here"),
        paper_entry(column, row),
        *(
            _measured(each, cell.value.interval) if cell and cell.value else Entry(nothing)
            for each, cell in zip(column.measures, cells, strict=True)
        ),
        *([Entry(_agrees(column, row, cells))] if held else []),
        NOTHING if paper_gap is None else Entry(f"{paper_gap:+.{measure.paper_digits}f}", value=paper_gap),
        NOTHING if gap is None else _measured(measure, gap.interval, sign=True),
        Entry("baseline" if first and row is table.base else verdict_text(first) if first else "-"),
        Entry(seeds + "".join(f" ({each})" for each in (missing, learnt_text(first)) if each) if first else seeds),
    ]


def _measured(measure: Measure, interval: Interval, sign: bool = False) -> Entry:
    text, short = measure.unit.bounds(interval, sign), measure.unit.value(interval.value, sign)
    return Entry.measured(interval, measure.unit.best, text, short)


def _agrees(column: Asked, row: PaperRow, cells: Sequence[Cell | None]) -> str:
    """Return yes or no for each of the paper's numbers."""
    words = []
    for measure, number, cell in zip(column.measures, row.numbers.get(column.key, ()), cells, strict=False):
        if number is None or cell is None or cell.value is None:
            words.append("-")
        else:
            words.append("yes" if measure.agrees(number, cell.value.interval) else "no")
    return "/".join(words) or "-"


def _scales(answers: Sequence[RowAnswers]) -> str:
    """Return the scales of what was tested, by what the runs have kept; empty if nothing was."""
    return " and ".join(sorted({scale for row in answers if row.tested for scale in row.trained.scales}))


def _notes(
    table: PaperTable, column: Asked, answers: Sequence[RowAnswers], questions: int, reasons: Sequence[str]
) -> list[str]:
    tested = [each for row in answers for each in row.tested.values()]
    judge = column.benchmark.judge
    notes = [f"Paper: Table {table.number}{f', judged by {judge}' if judge else ''}."]
    if not tested:
        return [*notes, "Ours: nothing has been tested on this benchmark yet.", *table.notes]
    judges = sorted({each.run.answered.judge or "" for each in tested} - {""})
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
