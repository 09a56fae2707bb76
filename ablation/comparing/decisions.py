"""What a sweep that adds seeds until its rows are decided has seen and decided: `looks.json` in its folder.

It is written whole after each look, and read by the sweep that goes on and by `compare`. What is decided stays so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ablation.comparing.comparison import LOSS, Cell, Comparison, Row
from ablation.comparing.sequential import Looks, spent
from ablation.comparing.verdict import LEVEL, Verdict, Word
from components.files import write_whole
from lightning_modules.runs.folder import SWEEPS
from lightning_modules.scoring.interval import Interval
from lightning_modules.scoring.unit import PERCENT

FILE = "looks.json"
FOUND = (Word.BETTER, Word.WORSE)


@dataclass(frozen=True)
class Seen:
    """A score of a row at a look.

    Attributes:
        difference: from the baseline, as a share.
        low: bound of it over all looks.
        high: the other one.
        p: value of this look alone.
        corrected: for looks and tests.
        word: what it is called.
    """

    difference: float
    low: float
    high: float
    p: float
    corrected: float
    word: Word


@dataclass(frozen=True)
class RowLook:
    """A row at the last look at it.

    Attributes:
        look: number of the look.
        seeds: of the row, in the order in which they were added.
        against: seeds of the baseline.
        level: of a test at this look, as a share of its level over all looks.
        minutes: of training, of all these seeds; None if not known.
        against_minutes: of the baseline's.
        cells: score -> how it was, the overall one first.
    """

    look: int
    seeds: tuple[int, ...]
    against: tuple[int, ...]
    level: float
    minutes: float | None
    against_minutes: float | None
    cells: Mapping[str, Seen]

    @property
    def overall(self) -> Seen:
        """How the score was over all questions."""
        return next(iter(self.cells.values()))

    @property
    def decided(self) -> bool:
        """Whether that is better, worse, or not distinguishable."""
        return self.overall.word is not Word.TOO_FEW

    def seeds_needed(self, smallest: float) -> float:
        """Return about how many seeds it takes if difference and spread stay: the square of how wide the interval is.

        It must leave out zero, or all that matters.
        """
        seen = self.overall
        half, away = (seen.high - seen.low) / 2, abs(seen.difference)
        room = max(away, smallest - away)
        return len(self.seeds) * (half / room) ** 2 if room > 0 else math.inf

    def line(self) -> str:
        """Return when it was decided, by what, and what it cost."""
        seen, count = self.overall, len(self.seeds)
        what = seen.word if self.decided else "not decided"
        against = "" if len(self.against) == count else f" against {len(self.against)}"
        # What a look may spend of the 5 % that remain when tests are corrected for.
        p = f"{'> ' * (seen.corrected == 1)}{seen.corrected * self.level:.2g}"
        return (
            f"{what} at look {self.look}, with {count} seeds{against}: p {p} against {LEVEL * self.level:.2g},"
            f" difference {PERCENT.bounds(Interval(seen.difference, seen.low, seen.high), sign=True)};"
            f" {_cost(count, self.minutes)}"
        )


@dataclass(frozen=True)
class Decisions:
    """What was asked and seen.

    Attributes:
        baseline: that rows are compared with.
        asked: every row, the baseline too -> hash of what it is trained with.
        smallest: difference that matters, as it is shown.
        most: seeds of a row.
        rows: those that were looked at -> their last look.
        looks: how many there were.
    """

    baseline: str
    asked: Mapping[str, str]
    smallest: float
    most: int
    rows: Mapping[str, RowLook] = field(default_factory=dict)
    looks: int = 0

    @property
    def smallest_share(self) -> float:
        """Difference that matters, as a share."""
        return self.smallest / PERCENT.best

    def seeds(self, name: str) -> tuple[int, ...]:
        """Return the seeds of a row, or of the baseline, that were looked at, in the order in which they were added."""
        if name == self.baseline:
            return max((row.against for row in self.rows.values()), key=len, default=())
        return self.rows[name].seeds if name in self.rows else ()

    def open(self) -> list[str]:
        """Return the rows that are not decided."""
        return [
            name
            for name in self.asked
            if name != self.baseline and not (self.rows.get(name) and self.rows[name].decided)
        ]

    def levels(self, now: Iterable[str]) -> Looks:
        """Return what this and earlier looks leave to tests, of which those of the rows `now` are made."""
        taken = set(now)
        before = {
            (name, score): seen.word in FOUND
            for name, row in self.rows.items()
            for score, seen in row.cells.items()
            if name not in taken or seen.word in FOUND
        }
        return Looks(dict.fromkeys(self.asked, self.most), before, len(self.asked) - 1)

    def seeing(self, comparison: Comparison, now: Sequence[str]) -> Decisions:
        """Return it with a look, of the rows `now`, that was compared with what `levels` leave."""
        base = comparison.rows[0]
        found = {row.experiment.name: self._look(row, base, comparison) for row in comparison.rows[1:]}
        return replace(self, rows={**self.rows, **{name: found[name] for name in now}}, looks=self.looks + 1)

    def _look(self, row: Row, base: Row, comparison: Comparison) -> RowLook:
        name, seeds = row.experiment.name, min(len(row.experiment.seeds), len(base.experiment.seeds))
        earlier = self.rows[name].cells if name in self.rows else {}
        cells = {}
        for score, cell in (*row.cells.items(), (LOSS, row.loss)):
            if score in earlier and earlier[score].word in FOUND:
                cells[score] = earlier[score]
            elif cell.difference and cell.verdict and cell.corrected is not None:
                gap = cell.difference.interval
                cells[score] = Seen(gap.value, gap.low, gap.high, cell.difference.p, cell.corrected, cell.verdict.word)
        # Of the overall score, which has half of the 5 % for all rows.
        share = LEVEL / 2 / (len(self.asked) - 1)
        return RowLook(
            self.looks + 1,
            tuple(row.experiment.seeds),
            tuple(base.experiment.seeds),
            spent(seeds, self.most, share),
            _minutes(row),
            _minutes(base),
            cells,
        )

    def write(self, folder: Path) -> None:
        """Write it whole into a sweep's folder.

        Raises:
            OSError: it cannot be written.
        """
        write_whole(folder / FILE, json.dumps(asdict(self), indent=1) + "\n")

    def lines(self, names: Iterable[str]) -> list[str]:
        """Return a line on each of these rows that was looked at: when it was decided, by what, and what it cost."""
        wanted = set(names)
        last = max(self.rows.values(), key=lambda row: len(row.against), default=None)
        lines = [f"{name}: {row.line()}" for name, row in self.rows.items() if name in wanted]
        return [*lines, f"{self.baseline}: {_cost(len(last.against), last.against_minutes)}"] if last else []


def _minutes(row: Row) -> float | None:
    minutes = row.experiment.figures("train/minutes")
    return math.fsum(minutes) if len(minutes) == len(row.experiment.seeds) else None


def _cost(runs: int, minutes: float | None) -> str:
    return f"{runs} runs" + ("" if minutes is None else f", {minutes:.1f} minutes")


def read(folder: Path) -> Decisions | None:
    """Return what a sweep has decided; None if it was not one of these, or has not begun.

    Raises:
        ValueError: the file cannot be read.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = {
            str(name): RowLook(
                int(row["look"]), tuple(row["seeds"]), tuple(row["against"]), float(row["level"]), row["minutes"],
                row["against_minutes"], {score: _seen(seen) for score, seen in row["cells"].items()},
            )
            for name, row in content["rows"].items()
        }  # fmt: skip
        if any(not row.cells for row in rows.values()):
            raise ValueError("a row has no score")
        asked = {str(name): str(digest) for name, digest in content["asked"].items()}
        return Decisions(
            str(content["baseline"]), asked, float(content["smallest"]), int(content["most"]), rows,
            int(content["looks"]),
        )  # fmt: skip
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} is no record of what a sweep has decided: {' '.join(str(error).split())[:200]}"
        ) from None


def _seen(content: Mapping[str, Any]) -> Seen:
    numbers = {name: float(content[name]) for name in ("difference", "low", "high", "p", "corrected")}
    return Seen(**numbers, word=Word(content["word"]))


def decisions_for(folders: Iterable[Path], names: Iterable[str]) -> list[Decisions]:
    """Return what sweeps that have looked at any of these experiments have decided, those with the most of them first.

    Args:
        folders: of runs that are compared.
        names: of experiments that are compared.

    Raises:
        ValueError: a record cannot be read.
    """
    wanted = set(names)
    roots = dict.fromkeys(folder.resolve().parent.parent for folder in folders)
    found = [read(path.parent) for root in roots for path in sorted((root / SWEEPS).glob(f"*/{FILE}"))]
    known = [each for each in found if each and each.rows and wanted & each.asked.keys()]
    return sorted(known, key=lambda each: -len(wanted & each.asked.keys()))


def as_decided(comparison: Comparison, decisions: Decisions) -> Comparison:
    """Return a comparison in which rows that a sweep has looked at have the differences and verdicts of that look."""

    def shown(row: Row, score: str, cell: Cell) -> Cell:
        look = decisions.rows.get(row.experiment.name)
        seen = look and look.cells.get(score)
        if cell.difference is None or cell.verdict is None or not seen:
            return cell
        estimate = replace(cell.difference, interval=Interval(seen.difference, seen.low, seen.high), p=seen.p)
        verdict = cell.verdict if cell.verdict.word is seen.word else Verdict(seen.word)
        return replace(cell, difference=estimate, corrected=seen.corrected, verdict=verdict)

    rows = [
        replace(
            row,
            cells={score: shown(row, score, cell) for score, cell in row.cells.items()},
            loss=shown(row, LOSS, row.loss),
        )
        for row in comparison.rows
    ]
    return replace(comparison, rows=rows, decided=decisions.lines(row.experiment.name for row in rows))
