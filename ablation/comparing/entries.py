"""Table entries for the scores of a comparison, their differences from the baseline, and verdicts."""

from __future__ import annotations

import math

from ablation.comparing.comparison import Cell
from ablation.comparing.report import NOTHING, Entry
from ablation.comparing.verdict import Word
from lightning_modules.scoring.metrics import Unit

MARKS = {Word.BETTER: "+", Word.WORSE: "-", Word.SAME: "=", Word.TOO_FEW: "?"}


def p_text(p: float) -> str:
    """Return a p value with three decimals, never as zero."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def verdict_text(cell: Cell) -> str:
    """Return the verdict in words, with a warning if an experiment has one seed."""
    if cell.verdict is None or cell.difference is None:
        return "-"
    return cell.verdict.word if cell.difference.over_seeds else f"{cell.verdict.word} (one seed)"


def seeds_text(cell: Cell, unit: Unit) -> str:
    """Return the number of seeds, their lowest and highest score, and how many have learnt it if only some have."""
    if len(cell.seeds) == 1:
        return "1"
    learnt = f", {learnt_text(cell)}" if cell.learnt else ""
    return f"{len(cell.seeds)}: {unit.value(min(cell.seeds))} to {unit.value(max(cell.seeds))}{learnt}"


def learnt_text(cell: Cell) -> str:
    """Return in how many seeds a score is learnt; empty unless other seeds have not learnt it at all."""
    return f"learnt in {cell.learnt} of {len(cell.seeds)} seeds" if cell.learnt else ""


def score_entry(cell: Cell, unit: Unit) -> Entry:
    """Return a score with its bounds and in how many seeds it is learnt, if any; `NOTHING` without a score."""
    if not cell.seeds:
        return NOTHING
    if cell.value:
        return Entry.measured(cell.value.interval, unit, mark=_learnt(cell))
    return Entry(unit.value(cell.mean), mark=_learnt(cell), numbers=(unit.best * cell.mean,))


def difference_entry(cell: Cell, unit: Unit) -> Entry:
    """Return the difference from the baseline's score, marked by its verdict; `NOTHING` without a difference."""
    if cell.difference is None or cell.verdict is None or cell.corrected is None:
        return NOTHING
    gap = cell.difference.interval
    hint = f"{verdict_text(cell)}, p {p_text(cell.corrected)}"
    return Entry.measured(
        gap,
        unit,
        sign=True,
        mark=" ".join(filter(None, (MARKS[cell.verdict.word], _learnt(cell)))),
        verdict=cell.verdict.word,
        shade=round(min(1.0, math.sqrt(abs(gap.value) / 0.5)), 3),  # the root keeps small differences visible
        hint=f"{hint}: {cell.verdict.needed}" if cell.verdict.needed else hint,
    )


def compared_entry(cell: Cell, unit: Unit) -> Entry:
    """Return a score with its difference in parentheses; only the difference has bounds then."""
    score = score_entry(cell, unit)
    if cell.difference is None:
        return score
    return Entry(score.text, numbers=score.numbers, difference=difference_entry(cell, unit))


def _learnt(cell: Cell) -> str:
    return f"({cell.learnt} of {len(cell.seeds)})" if cell.learnt else ""
