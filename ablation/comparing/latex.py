"""A comparison for LaTeX with booktabs, and words as LaTeX prints them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablation.comparing.comparison import Cell, Comparison
from ablation.comparing.further_metrics import MetricComparison
from ablation.comparing.tables import caption, metric_caption
from ablation.comparing.verdict import Word
from lightning_modules.scoring.unit import Unit

_SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def escaped(words: str) -> str:
    """Return words in which no character means anything to LaTeX."""
    return "".join(_SPECIAL.get(character, character) for character in words)


def as_latex(comparison: Comparison, further: Sequence[MetricComparison]) -> str:
    """Return tables for booktabs: a row per experiment, a column per score; bold where it is better or worse.

    After the first, one for each further metric that has scores.
    """
    names = list(comparison.sizes)
    rows = {row.experiment.name: [row.cells[name] for name in names] for row in comparison.rows}
    made = [_latex_table(names, rows, comparison.unit, " ".join(caption(comparison)[:3]))]
    for each in further:
        if each.names:
            rows = {name: [each.cell(name, score) for score in each.names] for name in rows}
            made.append(_latex_table(each.names, rows, each.metric.unit, metric_caption(each)))
    return "\n".join(made)


def _latex_table(names: Sequence[str], rows: Mapping[str, Sequence[Cell]], unit: Unit, said: str) -> str:
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\begin{{tabular}}{{l{'r' * len(names)}}}",
        r"\toprule",
        " & ".join(["Experiment", *map(escaped, names)]) + r" \\",
        r"\midrule",
    ]
    for experiment, row in rows.items():
        cells = [_latex_cell(cell, unit, bounds=place == 0) for place, cell in enumerate(row)]
        lines.append(" & ".join([escaped(experiment), *cells]) + r" \\")
    return "\n".join(
        [
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            rf"\caption{{{escaped(said)} Bold: better or worse.}}",
            r"\end{table}",
            "",
        ]
    )


def _latex_cell(cell: Cell, unit: Unit, bounds: bool) -> str:
    """Return value and difference; the bounds of the difference too, where there is room for them."""
    value = f"${unit.value(cell.mean)}$" if cell.seeds else "--"
    if cell.difference is None:
        return value
    gap = cell.difference.interval
    said = unit.gap(gap.value) + (rf"\ [{unit.gap(gap.low)}, {unit.gap(gap.high)}]" if bounds else "")
    clear = cell.verdict is not None and cell.verdict.word in (Word.BETTER, Word.WORSE)
    return rf"{value} ($\mathbf{{{said}}}$)" if clear else f"{value} (${said}$)"
