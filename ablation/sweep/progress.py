"""How far a run is, by the `metrics.csv` that it writes anyway."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from lightning_modules.scoring import is_headline

LOSS = "train/loss"


@dataclass(frozen=True)
class Progress:
    """What a run has written.

    Attributes:
        step: that it is in; the file lags behind by what its logger keeps back.
        figure: name of what is looked at: the first figure of the validation, before there is one the training loss.
        last: its last value, None if there is none.
        best: its best value so far.
    """

    step: int = 0
    figure: str = LOSS
    last: float | None = None
    best: float | None = None

    def text(self) -> str:
        """Return the figure as it is shown."""
        if self.last is None or self.best is None:
            return ""
        best = "" if self.figure == LOSS else f" (best {self.best:.4g})"
        return f"{self.figure} {self.last:.4g}{best}"


def progress(folder: Path) -> Progress:
    """Return how far a run is; what is being written meanwhile is read the next time."""
    rows = _rows(folder / "metrics.csv")
    kept = sorted(folder.glob("metrics.*.csv"), key=lambda path: int(path.suffixes[0][1:]))
    earlier = [row for path in kept for row in _rows(path)]
    step = max((int(row["step"]) + 1 for row in rows if row.get("step", "").isdecimal()), default=0)
    every = [*earlier, *rows]
    columns = dict.fromkeys(name for row in rows[:1] + earlier[:1] for name in row)
    validated = [name for name in columns if name.startswith("val/") and is_headline(name.removeprefix("val/"))]
    for figure in (*validated, LOSS):
        values = [value for row in every if (value := _number(row.get(figure))) is not None]
        if values:
            return Progress(step, figure, values[-1], max(values) if figure != LOSS else min(values))
    return Progress(step)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [row for row in csv.DictReader(file) if None not in row and None not in row.values()]
    except FileNotFoundError:
        return []


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
