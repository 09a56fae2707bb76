"""A comparison as tables: for the terminal and Markdown, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence

from ablation.comparing.comparison import LOSS, Cell, Comparison, Row
from ablation.comparing.costs import Costs
from ablation.comparing.likelihood import CURVE, Likelihoods
from ablation.comparing.unit import NATS, Unit
from ablation.comparing.verdict import Word
from datamodules.printable import table
from lightning_modules.scoring import LIKELIHOOD

MARKS = {Word.BETTER: "+", Word.WORSE: "-", Word.SAME: "=", Word.TOO_FEW: "?"}


def p_text(p: float) -> str:
    """Return a p value as it is read: three digits, and no zero."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def verdict_text(cell: Cell) -> str:
    """Return the verdict in short; with a word of warning where one seed stands for an experiment."""
    if cell.verdict is None or cell.difference is None:
        return "-"
    return cell.verdict.word if cell.difference.over_seeds else f"{cell.verdict.word} (one seed)"


def loss_text(cell: Cell) -> str:
    """Return a loss with its bounds, if it has any."""
    if not cell.seeds:
        return "-"
    bounds = cell.value and f" [{cell.value.interval.low:.3f}, {cell.value.interval.high:.3f}]"
    return f"{cell.mean:.3f}{bounds or ''}"


def loss_gap(cell: Cell) -> str:
    """Return the difference of a loss with its bounds."""
    if cell.difference is None:
        return "-"
    gap = cell.difference.interval
    return f"{gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"


def minutes_text(minutes: float | None) -> str:
    """Return how long a training took."""
    return "-" if minutes is None else f"{minutes:.0f}" if minutes >= 10 else f"{minutes:.2f}"


def seeds_text(cell: Cell, unit: Unit) -> str:
    """Return the number of seeds, the least and largest score among them, and how many have learnt it, if not all."""
    if len(cell.seeds) == 1:
        return "1"
    learnt = f", {learnt_text(cell)}" if cell.learnt else ""
    return f"{len(cell.seeds)}: {unit.value(min(cell.seeds))} to {unit.value(max(cell.seeds))}{learnt}"


def main_table(comparison: Comparison, costs: Mapping[str, Costs]) -> str:
    """Return a line per experiment: its score over all questions, the difference, and what is to be said of it."""
    name, unit = next(iter(comparison.sizes)), comparison.unit
    heads = ["experiment", f"{name}, {unit.sign}", "difference", "p", "verdict", "seeds", LOSS, "minutes"]
    heads += ["parameters", "GMAC", "tokens"] if costs else []
    rows = []
    for row in comparison.rows:
        cell = row.overall
        assert cell.value is not None
        cells = [row.experiment.name, unit.bounds(cell.value.interval)]
        if cell.difference and cell.corrected is not None:
            cells += [unit.bounds(cell.difference.interval, sign=True), p_text(cell.corrected), verdict_text(cell)]
        else:
            cells += ["", "", "baseline"]
        cells += [seeds_text(cell, unit), loss_text(row.loss), minutes_text(row.minutes)]
        if costs:
            known = costs.get(row.experiment.name)
            cells += [f"{known.parameters:,}", f"{known.gmac:.3f}", f"{known.tokens:,}"] if known else ["-"] * 3
        rows.append(cells)
    return table(heads, rows)


def score_table(comparison: Comparison, bounds: bool = True) -> str:
    """Return a line per score: the baseline's, and the difference of each other experiment, marked by its verdict.

    Args:
        comparison: what to show.
        bounds: whether intervals are given; without, the table is half as wide.
    """
    base, *others = comparison.rows
    unit = comparison.unit
    heads = [
        "score",
        "questions",
        "videos",
        f"{base.experiment.name}, {unit.sign}",
        *(row.experiment.name for row in others),
    ]
    rows = [
        _score_line(name, size, base.cells[name], [row.cells[name] for row in others], unit, bounds)
        for name, size in comparison.sizes.items()
    ]
    if any(row.loss.difference for row in others):
        losses = [f"{loss_gap(row.loss)} {MARKS[row.loss.verdict.word]}" if row.loss.verdict else "-" for row in others]
        rows.append([LOSS, "", "", loss_text(base.loss), *losses])
    return table(heads, rows)


def likelihood_table(comparison: Comparison, likelihoods: Likelihoods, bounds: bool = True) -> str:
    """Return a line per score as `score_table` has it, of log-likelihoods; "-" where an experiment has none."""
    base, *others = [row.experiment.name for row in comparison.rows]
    heads = [f"log-likelihood, {NATS.sign}", "questions", "videos", base, *others]
    rows = [
        _score_line(
            name,
            likelihoods.sizes.get(name),
            likelihoods.cell(base, name),
            [likelihoods.cell(other, name) for other in others],
            NATS,
            bounds,
        )
        for name in likelihoods.names
    ]
    return table(heads, rows)


def likelihood_caption(likelihoods: Likelihoods) -> str:
    """Return what its numbers are."""
    return (
        f"{NATS.what}, in {NATS.points}: 0 is best, and minus the logarithm of their number is chance; {CURVE}: mean of"
        f" a training's validations, compared over seeds alone. Marks are corrected for {likelihoods.tests} tests of"
        " their own, beside those of the scores above."
    )


def _score_line(
    name: str, size: tuple[int, int] | None, base: Cell, others: Sequence[Cell], unit: Unit, bounds: bool
) -> list[str]:
    """Return name, size, the baseline's score, and the difference of each other experiment."""
    sizes = [f"{number:,}" for number in size] if size else ["", ""]
    said = value_text(base, unit, bounds) + _learnt(base)
    return [name, *sizes, said, *(_marked(cell, unit, bounds) for cell in others)]


def value_text(cell: Cell, unit: Unit, bounds: bool = True) -> str:
    """Return a score with its bounds, if it has any and they are wanted; "-" if there is none."""
    if not cell.seeds:
        return "-"
    return unit.bounds(cell.value.interval) if bounds and cell.value else unit.value(cell.mean)


def _marked(cell: Cell, unit: Unit, bounds: bool) -> str:
    if cell.difference is None or cell.verdict is None:
        return "-"
    interval = cell.difference.interval
    said = unit.bounds(interval, sign=True) if bounds else unit.gap(interval.value)
    return f"{said} {MARKS[cell.verdict.word]}{_learnt(cell)}"


def _learnt(cell: Cell) -> str:
    return f" ({cell.learnt} of {len(cell.seeds)})" if cell.learnt else ""


def learnt_text(cell: Cell) -> str:
    """Return in how many seeds a score is learnt, where others have not learnt it at all."""
    return f"learnt in {cell.learnt} of {len(cell.seeds)} seeds" if cell.learnt else ""


def caption(comparison: Comparison) -> list[str]:
    """Return what the numbers are, a sentence a line."""
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
    """Return what is taken of the variance between seeds, a sentence a line; none where rows have one seed each."""
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
    comparison: Comparison, costs: Mapping[str, Costs], likelihoods: Likelihoods, columns: int | None = None
) -> str:
    """Return everything as plain text that is Markdown too.

    Args:
        comparison: what to show.
        costs: of the experiments for which they are known.
        likelihoods: of the experiments that have them.
        columns: that there is room for; the table of scores is without intervals where they do not fit.
    """
    parts = [main_table(comparison, costs), "\n".join(f"- {line}" for line in caption(comparison))]

    def fitting(made: Callable[[bool], str]) -> str:
        whole = made(True)
        return whole if columns is None or len(whole.splitlines()[0]) <= columns else made(False)

    if len(comparison.sizes) > 1:
        parts.append(fitting(lambda bounds: score_table(comparison, bounds)))
    if likelihoods.names:
        parts.append(fitting(lambda bounds: likelihood_table(comparison, likelihoods, bounds)))
        parts.append(f"- {likelihood_caption(likelihoods)}")
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
    parts.append(_listed("left out", [f"{each.folder}: {each.reason}" for each in comparison.left_out]))
    return "\n\n".join(part for part in parts if part)


def _listed(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"{title} ({len(lines)}):", "", *(f"- {line}" for line in lines)]) if lines else ""


def as_csv(comparison: Comparison, costs: Mapping[str, Costs], likelihoods: Likelihoods) -> str:
    """Return a line per experiment and score, with everything there is to it; in shares of the best, not percent."""
    rows = []
    for row in comparison.rows:
        name, cost = row.experiment.name, costs.get(row.experiment.name)
        for score, cell in (*row.cells.items(), (LOSS, row.loss)):
            rows.append(_csv_line(comparison, row, score, comparison.sizes.get(score), cell, cost))
        for score, cell in likelihoods.cells.get(name, {}).items():
            size = likelihoods.sizes.get(score)
            rows.append(_csv_line(comparison, row, f"{LIKELIHOOD}/{score}", size, cell, cost))
    file = io.StringIO()
    writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _csv_line(
    comparison: Comparison, row: Row, name: str, size: tuple[int, int] | None, cell: Cell, costs: Costs | None
) -> dict[str, object]:
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
