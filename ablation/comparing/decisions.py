"""The looks and decisions of a sweep that adds seeds until its rows are decided: `looks.json` in its folder.

The file is rewritten after every look, and read when the sweep is resumed and by `compare`. Decisions are final.
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
from lightning_modules.scoring.metrics import PERCENT

FILE = "looks.json"
SIGNIFICANT = (Word.BETTER, Word.WORSE)


@dataclass(frozen=True)
class ScoreLook:
    """A score of a row at a look.

    Attributes:
        difference: difference from the baseline, as a share.
        low: lower bound of the difference over all looks.
        high: upper bound of the difference over all looks.
        p: p value of this look alone.
        corrected: p value corrected for looks and tests.
        word: verdict on the difference.
    """

    difference: float
    low: float
    high: float
    p: float
    corrected: float
    word: Word


@dataclass(frozen=True)
class RowLook:
    """The last look at a row.

    Attributes:
        look: number of the look.
        seeds: seeds of the row, in the order in which they were added.
        against: seeds of the baseline.
        level: level of a test at this look, as a share of its level over all looks.
        minutes: minutes of training of all these seeds; None if unknown.
        against_minutes: the same for the seeds of the baseline.
        cells: scores by name, the overall one first.
    """

    look: int
    seeds: tuple[int, ...]
    against: tuple[int, ...]
    level: float
    minutes: float | None
    against_minutes: float | None
    cells: Mapping[str, ScoreLook]

    @property
    def overall(self) -> ScoreLook:
        """The score over all questions."""
        return next(iter(self.cells.values()))

    @property
    def decided(self) -> bool:
        """Whether the overall score is better, worse, or not distinguishable."""
        return self.overall.word is not Word.TOO_FEW

    def seeds_needed(self, smallest: float) -> float:
        """Estimate the number of seeds that decides the row if difference and spread stay the same."""
        # The width of the interval, which must exclude zero or all that matters, falls with the root of their number.
        score = self.overall
        half, away = (score.high - score.low) / 2, abs(score.difference)
        room = max(away, smallest - away)
        return len(self.seeds) * (half / room) ** 2 if room > 0 else math.inf

    def line(self) -> str:
        """Return the look, verdict, p value, difference and cost of the decision."""
        score, count = self.overall, len(self.seeds)
        verdict = score.word if self.decided else "not decided"
        against = "" if len(self.against) == count else f" against {len(self.against)}"
        # Shown relative to this look's share of the 5 % that remain after the correction for other tests.
        p = f"{'> ' * (score.corrected == 1)}{score.corrected * self.level:.2g}"
        return (
            f"{verdict} at look {self.look}, with {count} seeds{against}: p {p} against {LEVEL * self.level:.2g},"
            f" difference {PERCENT.bounds(Interval(score.difference, score.low, score.high), sign=True)};"
            f" {_cost(count, self.minutes)}"
        )


@dataclass(frozen=True)
class Decisions:
    """The question of a sweep, and its looks so far.

    Attributes:
        baseline: name of the experiment that rows are compared with.
        asked: hash of the training settings of every row and of the baseline, by name.
        smallest: smallest difference that matters, in displayed units.
        most: maximum number of seeds of a row.
        rows: last look at every row, by name; only rows that were looked at.
        looks: number of looks.
    """

    baseline: str
    asked: Mapping[str, str]
    smallest: float
    most: int
    rows: Mapping[str, RowLook] = field(default_factory=dict)
    looks: int = 0

    @property
    def smallest_share(self) -> float:
        """Smallest difference that matters, as a share."""
        return self.smallest / PERCENT.best

    def seeds(self, name: str) -> tuple[int, ...]:
        """Return the seeds of a row or of the baseline at its last look, in the order in which they were added."""
        if name == self.baseline:
            return max((row.against for row in self.rows.values()), key=len, default=())
        return self.rows[name].seeds if name in self.rows else ()

    def undecided(self) -> list[str]:
        """Return the names of undecided rows."""
        return [
            name
            for name in self.asked
            if name != self.baseline and not (self.rows.get(name) and self.rows[name].decided)
        ]

    def levels(self, now: Iterable[str]) -> Looks:
        """Return the looks at tests for a comparison of the rows `now`, given the results of earlier looks."""
        current = set(now)
        before = {
            (name, score): look.word in SIGNIFICANT
            for name, row in self.rows.items()
            for score, look in row.cells.items()
            if name not in current or look.word in SIGNIFICANT
        }
        return Looks(dict.fromkeys(self.asked, self.most), before, len(self.asked) - 1)

    def with_look(self, comparison: Comparison, now: Sequence[str]) -> Decisions:
        """Return these decisions with another look at the rows `now`, from a comparison with their `levels`."""
        base = comparison.rows[0]
        looks = {row.experiment.name: self._look(row, base, comparison) for row in comparison.rows[1:]}
        return replace(self, rows={**self.rows, **{name: looks[name] for name in now}}, looks=self.looks + 1)

    def _look(self, row: Row, base: Row, comparison: Comparison) -> RowLook:
        name, seeds = row.experiment.name, min(len(row.experiment.seeds), len(base.experiment.seeds))
        earlier = self.rows[name].cells if name in self.rows else {}
        cells = {}
        for score, cell in (*row.cells.items(), (LOSS, row.loss)):
            if score in earlier and earlier[score].word in SIGNIFICANT:
                cells[score] = earlier[score]
            elif cell.difference and cell.verdict and cell.corrected is not None:
                gap = cell.difference.interval
                cells[score] = ScoreLook(
                    gap.value, gap.low, gap.high, cell.difference.p, cell.corrected, cell.verdict.word
                )
        # The overall scores of all rows share half of the 5 %.
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
        """Write `looks.json` into a sweep's folder.

        Raises:
            OSError: the file cannot be written.
        """
        write_whole(folder / FILE, json.dumps(asdict(self), indent=1) + "\n")

    def lines(self, names: Iterable[str]) -> list[str]:
        """Return a line for each of these rows that was looked at, and one for the cost of the baseline."""
        shown = set(names)
        last = max(self.rows.values(), key=lambda row: len(row.against), default=None)
        lines = [f"{name}: {row.line()}" for name, row in self.rows.items() if name in shown]
        return [*lines, f"{self.baseline}: {_cost(len(last.against), last.against_minutes)}"] if last else []


def _minutes(row: Row) -> float | None:
    minutes = row.experiment.figures("train/minutes")
    return math.fsum(minutes) if len(minutes) == len(row.experiment.seeds) else None


def _cost(runs: int, minutes: float | None) -> str:
    return f"{runs} runs" + ("" if minutes is None else f", {minutes:.1f} minutes")


def read(folder: Path) -> Decisions | None:
    """Read the decisions of a sweep; None if it adds no seeds until rows are decided, or has not begun.

    Raises:
        ValueError: the file cannot be read.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = {
            str(name): RowLook(
                int(row["look"]), tuple(row["seeds"]), tuple(row["against"]), float(row["level"]), row["minutes"],
                row["against_minutes"], {score: _score_look(look) for score, look in row["cells"].items()},
            )
            for name, row in content["rows"].items()
        }  # fmt: skip
        if any(not row.cells for row in rows.values()):
            raise ValueError("a row has no score")
        hashes = {str(name): str(digest) for name, digest in content["asked"].items()}
        return Decisions(
            str(content["baseline"]), hashes, float(content["smallest"]), int(content["most"]), rows,
            int(content["looks"]),
        )  # fmt: skip
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} is not a record of a sweep's decisions: {' '.join(str(error).split())[:200]}"
        ) from None


def _score_look(content: Mapping[str, Any]) -> ScoreLook:
    numbers = {name: float(content[name]) for name in ("difference", "low", "high", "p", "corrected")}
    return ScoreLook(**numbers, word=Word(content["word"]))


def decisions_for(folders: Iterable[Path], names: Iterable[str]) -> list[Decisions]:
    """Return the decisions of sweeps that have looked at any of these experiments, those with the most of them first.

    Args:
        folders: folders of the compared runs.
        names: names of the compared experiments.

    Raises:
        ValueError: a record cannot be read.
    """
    compared = set(names)
    roots = dict.fromkeys(folder.resolve().parent.parent for folder in folders)
    records = [read(path.parent) for root in roots for path in sorted((root / SWEEPS).glob(f"*/{FILE}"))]
    about_these = [record for record in records if record and record.rows and compared & record.asked.keys()]
    return sorted(about_these, key=lambda record: -len(compared & record.asked.keys()))


def as_decided(comparison: Comparison, decisions: Decisions) -> Comparison:
    """Replace differences and verdicts in a comparison by those of a sweep's last look, in the rows that it has."""

    def shown(row: Row, score: str, cell: Cell) -> Cell:
        row_look = decisions.rows.get(row.experiment.name)
        look = row_look and row_look.cells.get(score)
        if cell.difference is None or cell.verdict is None or not look:
            return cell
        estimate = replace(cell.difference, interval=Interval(look.difference, look.low, look.high), p=look.p)
        verdict = cell.verdict if cell.verdict.word is look.word else Verdict(look.word)
        return replace(cell, difference=estimate, corrected=look.corrected, verdict=verdict)

    rows = [
        replace(
            row,
            cells={score: shown(row, score, cell) for score, cell in row.cells.items()},
            loss=shown(row, LOSS, row.loss),
        )
        for row in comparison.rows
    ]
    return replace(comparison, rows=rows, decided=decisions.lines(row.experiment.name for row in rows))
