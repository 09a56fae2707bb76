"""The tables of a comparison, for the terminal and for all files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ablation.comparing.comparison import LOSS, Cell, Comparison, Row
from ablation.comparing.entries import (
    MARKS,
    compared_entry,
    difference_entry,
    learnt_text,
    p_text,
    score_entry,
    seeds_text,
    verdict_text,
)
from ablation.comparing.experiment import Costs
from ablation.comparing.further_metrics import CURVE, MetricComparison
from ablation.comparing.report import NOTHING, Entry, Table
from ablation.comparing.verdict import Word
from lightning_modules.scoring.metrics import Unit

_LOSS = Unit(1, 3, "nats", "Loss of the test", "nats", 0.0)


def main_table(comparison: Comparison) -> Table:
    """Return a table with a row per experiment: its score over all questions, the difference, and the verdict."""
    name, unit = next(iter(comparison.sizes)), comparison.unit
    heads = ["experiment", f"{name}, {unit.sign}", "difference", "p", "verdict", "seeds", LOSS]
    rows = []
    for row in comparison.rows:
        cell = row.overall
        assert cell.value is not None
        entries = [Entry(row.experiment.name), Entry.measured(cell.value.interval, unit)]
        if cell.difference and cell.corrected is not None and cell.verdict:
            entries += [
                Entry.measured(cell.difference.interval, unit, sign=True),
                Entry(p_text(cell.corrected), numbers=(cell.corrected,)),
                Entry(verdict_text(cell), verdict=cell.verdict.word, below=cell.verdict.needed),
            ]
        else:
            entries += [Entry(), Entry(), Entry("baseline")]
        rows.append([*entries, Entry(seeds_text(cell, unit)), score_entry(row.loss, _LOSS)])
    return Table("", heads, rows, caption(comparison))


def costs_table(comparison: Comparison, costs: Mapping[str, Costs]) -> Table:
    """Return a table with a row per experiment: minutes of training, and the costs of its visual path if known."""
    heads = ["experiment", "minutes", *(["parameters", "GMAC", "tokens"] if costs else [])]
    rows = []
    for row in comparison.rows:
        minutes, cost = row.minutes, costs.get(row.experiment.name)
        entries = [Entry(row.experiment.name)]
        if minutes is None:
            entries.append(NOTHING)
        else:
            entries.append(Entry(f"{minutes:.0f}" if minutes >= 10 else f"{minutes:.2f}", numbers=(minutes,)))
        if cost:
            entries += [
                Entry(f"{cost.parameters:,}", numbers=(cost.parameters,)),
                Entry(f"{cost.gmac:.3f}", numbers=(cost.gmac,)),
                Entry(f"{cost.tokens:,}", numbers=(cost.tokens,)),
            ]
        rows.append([*entries, *[NOTHING] * (len(heads) - len(entries))])
    return Table("", heads, rows)


def score_table(comparison: Comparison) -> Table:
    """Return a table with a row per score: the baseline's, and the differences of the others, marked by verdicts."""
    base, *others = comparison.rows
    unit = comparison.unit
    heads = ["score", "questions", "videos", f"{base.experiment.name}, {unit.sign}"]
    rows = [
        _score_row(name, size, base.cells[name], [row.cells[name] for row in others], unit)
        for name, size in comparison.sizes.items()
    ]
    if any(row.loss.difference for row in others):
        rows.append(_score_row(LOSS, None, base.loss, [row.loss for row in others], _LOSS))
    return Table("", [*heads, *(row.experiment.name for row in others)], rows)


def metric_table(comparison: Comparison, further: MetricComparison) -> Table:
    """Return the `score_table` of a further metric."""
    metric = further.metric
    base, *others = [row.experiment.name for row in comparison.rows]
    rows = [
        _score_row(
            name,
            further.sizes.get(name),
            further.cell(base, name),
            [further.cell(other, name) for other in others],
            metric.unit,
        )
        for name in further.names
    ]
    heads = [f"{metric.column}, {metric.unit.sign}", "questions", "videos", base, *others]
    return Table("", heads, rows, [metric_caption(further)])


def _score_row(
    name: str, size: tuple[int, int] | None, base: Cell, others: Sequence[Cell], unit: Unit
) -> Sequence[Entry]:
    sizes = [Entry(f"{number:,}", numbers=(number,)) for number in size] if size else [Entry(), Entry()]
    return [Entry(name), *sizes, score_entry(base, unit), *(difference_entry(cell, unit) for cell in others)]


def paper_tables(comparison: Comparison, further: Sequence[MetricComparison]) -> list[Table]:
    """Return tables in the form usual in papers: a row per experiment, a column per score; one for each metric.

    Only differences of the first score have bounds.
    """
    scores = {row.experiment.name: list(row.cells.values()) for row in comparison.rows}
    bold = "Bold: better or worse."
    tables = [_paper_table(list(comparison.sizes), scores, comparison.unit, [*caption(comparison)[:3], bold])]
    for compared in further:
        if compared.names:
            scores = {name: [compared.cell(name, score) for score in compared.names] for name in scores}
            unit, notes = compared.metric.unit, [metric_caption(compared), bold]
            tables.append(_paper_table(compared.names, scores, unit, notes))
    return tables


def _paper_table(names: Sequence[str], scores: Mapping[str, Sequence[Cell]], unit: Unit, notes: Sequence[str]) -> Table:
    def entry(cell: Cell, first: bool) -> Entry:
        whole = compared_entry(cell, unit)
        whole = whole if first and whole.difference else whole.short
        return replace(whole, mark="", difference=whole.difference and replace(whole.difference, mark=""))

    rows = [
        [Entry(name), *(entry(cell, first=place == 0) for place, cell in enumerate(cells))]
        for name, cells in scores.items()
    ]
    return Table("", ["Experiment", *names], rows, notes)


def metric_caption(further: MetricComparison) -> str:
    """Return a description of the numbers of a further metric."""
    unit = further.metric.unit
    return (
        f"{unit.what}, in {unit.sign}: {further.metric.scale}; {CURVE}: mean of a training's validations, compared over"
        f" seeds alone. Marks are corrected for {further.tests} tests of their own, beside those of the scores above."
    )


def caption(comparison: Comparison) -> list[str]:
    """Return a description of the numbers, one sentence per line."""
    questions, videos = next(iter(comparison.sizes.values()))
    unit = comparison.unit
    return [
        f"{unit.what}, over {questions:,} questions about {videos:,} videos that all runs answered;"
        f" differences from {comparison.baseline} in {unit.points}.",
        f"In brackets: 95 % intervals {comparison.over}; questions about one video go together.",
        f"p is corrected for {comparison.tests} tests (Holm; half of 5 % for the overall score); intervals are not.",
        *comparison.looks.caption(),
        f"Marks: {MARKS[Word.BETTER]} better, {MARKS[Word.WORSE]} worse, {MARKS[Word.SAME]} not distinguishable"
        f" (a difference of {unit.best * comparison.smallest:g} points is ruled out),"
        f" {MARKS[Word.TOO_FEW]} too few data.",
        *_of_seeds(comparison),
    ]


def _of_seeds(comparison: Comparison) -> list[str]:
    """Describe the estimate of the variance between seeds, one sentence per line; empty if all rows have one seed."""
    lines = []
    shared = [f"{name} {prior.freedom:.1f}" for name, prior in comparison.priors.items() if prior.freedom]
    if shared:
        rows = next(iter(comparison.priors.values())).rows
        lines.append(
            f"Variances between seeds are moderated over {rows} rows; degrees of freedom that this adds to those of a"
            f" row: {', '.join(shared)}."
        )
    for name, prior in comparison.priors.items():
        if prior.coin:
            cells = [(row.experiment.name, row.cells[name]) for row in comparison.rows]
            split = "; ".join(f"{row}: {learnt_text(cell)}" for row, cell in cells if cell.learnt)
            lines.append(
                f"Heavy tails in {name} ({split}; in brackets in the table): no row's variance is moderated there, and"
                " seeds of all rows are taken to differ as a fair coin between learnt and not learnt would."
            )
    return lines


def text(
    comparison: Comparison, costs: Mapping[str, Costs], further: Sequence[MetricComparison], columns: int | None = None
) -> str:
    """Return the whole comparison as plain text that is also Markdown.

    Args:
        comparison: comparison to show.
        costs: known costs by experiment.
        further: comparisons by further metrics; those without scores are not shown.
        columns: available width in characters; None for any. Tables of scores that do not fit lose their intervals.
    """
    parts = [main_table(comparison).beside(costs_table(comparison, costs)).text()]
    if len(comparison.sizes) > 1:
        parts.append(score_table(comparison).text(columns))
    parts += [metric_table(comparison, compared).text(columns) for compared in further if compared.names]
    base, *others = comparison.rows
    needed = [
        f"{row.experiment.name}: {row.overall.verdict.needed}"
        for row in others
        if row.overall.verdict and row.overall.verdict.needed
    ]
    settings = [f"{row.experiment.name}: {'; '.join(row.changes) or 'none'}" for row in others]
    parts.append(_listed("when rows were decided, and what that cost", comparison.decided))
    parts.append(_listed(f"what it would take to tell {next(iter(comparison.sizes))} apart", needed))
    parts.append(_listed(f"settings other than those of {base.experiment.name}", settings))
    parts.append(_listed("compared although different", comparison.ignored))
    parts.append(_listed("remarks", comparison.remarks))
    parts.append(_listed("left out", [f"{folder.folder}: {folder.reason}" for folder in comparison.left_out]))
    return "\n\n".join(part for part in parts if part)


def _listed(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"{title} ({len(lines)}):", "", *(f"- {line}" for line in lines)]) if lines else ""


def csv_lines(
    comparison: Comparison, costs: Mapping[str, Costs], further: Sequence[MetricComparison]
) -> list[Mapping[str, object]]:
    """Return a line per experiment and score with all its figures, as shares of the best score, not in percent."""
    lines = []
    for row in comparison.rows:
        name, cost = row.experiment.name, costs.get(row.experiment.name)
        for score, cell in (*row.cells.items(), (LOSS, row.loss)):
            lines.append(_csv_line(comparison, row, score, comparison.sizes.get(score), cell, cost))
        for compared in further:
            for score, cell in compared.cells.get(name, {}).items():
                size = compared.sizes.get(score)
                lines.append(_csv_line(comparison, row, f"{compared.metric.name}/{score}", size, cell, cost))
    return lines


def _csv_line(
    comparison: Comparison, row: Row, name: str, size: tuple[int, int] | None, cell: Cell, costs: Costs | None
) -> Mapping[str, object]:
    value = cell.value.interval if cell.value else None
    gap = cell.difference.interval if cell.difference else None
    questions, videos = size or ("", "")
    return {
        "experiment": row.experiment.name,
        "baseline": comparison.baseline,
        "score": name,
        "questions": questions,
        "videos": videos,
        "seeds": len(row.experiment.seeds),
        "learnt_seeds": cell.learnt or "",
        "prior_freedom": comparison.priors[name].freedom if name in comparison.priors else "",
        "value": cell.mean if cell.seeds else "",
        "low": value.low if value else "",
        "high": value.high if value else "",
        "least_seed": min(cell.seeds, default=""),
        "largest_seed": max(cell.seeds, default=""),
        "over_seeds": cell.difference.over_seeds if cell.difference else "",
        "difference": gap.value if gap else "",
        "difference_low": gap.low if gap else "",
        "difference_high": gap.high if gap else "",
        "p": cell.difference.p if cell.difference else "",
        "p_corrected": "" if cell.corrected is None else cell.corrected,
        "verdict": cell.verdict.word if cell.verdict else "",
        "needed": cell.verdict.needed if cell.verdict else "",
        "train_minutes": "" if row.minutes is None else row.minutes,
        "visual_parameters": costs.parameters if costs else "",
        "visual_gmac": costs.gmac if costs else "",
        "visual_tokens": costs.tokens if costs else "",
        "settings": "; ".join(row.changes),
    }
