"""Where the marks of a plot go: plain coordinates, which the page's template draws as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ablation.comparing.curves import Point
from lightning_modules.scoring.interval import Interval


@dataclass(frozen=True)
class Scale:
    """A straight scale.

    Attributes:
        low: value at `start`.
        high: value at `end`.
        start: coordinate.
        end: coordinate.
        ticks: values to mark.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: Sequence[float]

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value, to a hundredth of a pixel; of one outside, that of the nearest end."""
        inside = min(max(value, self.low), self.high)
        return round(self.start + (inside - self.low) / (self.high - self.low) * (self.end - self.start), 2)


@dataclass(frozen=True)
class Bar:
    """A line of a forest plot.

    Attributes:
        name: of the experiment.
        y: of its line.
        low: left end of the interval.
        high: right end.
        at: the estimate.
        seeds: where each of several seeds alone would put it.
        kind: of its verdict, by which it is coloured.
        words: beside it.
    """

    name: str
    y: float
    low: float
    high: float
    at: float
    seeds: Sequence[float]
    kind: str
    words: str


@dataclass(frozen=True)
class Forest:
    """Differences with their intervals, a line each, and the zero that they may leave out."""

    bars: Sequence[Bar]
    scale: Scale
    height: float
    step: float


@dataclass(frozen=True)
class Dot:
    """A mark of a scatter plot: an experiment at its cost, with the interval of its score."""

    name: str
    x: float
    y: float
    low: float
    high: float
    kind: str
    label_y: float
    to_the_left: bool


@dataclass(frozen=True)
class Scatter:
    """Scores over costs."""

    title: str
    dots: Sequence[Dot]
    across: Scale
    up: Scale


@dataclass(frozen=True)
class Line:
    """A learning curve: points of its line, and the outline of the band between the seeds."""

    line: str
    band: str


@dataclass(frozen=True)
class Panel:
    """An experiment's learning curve before that of the baseline."""

    name: str
    ours: Line
    base: Line
    across: Scale
    up: Scale


def scale(values: Sequence[float], start: float, end: float, wanted: int = 5) -> Scale:
    """Return a scale with room for all values, and ticks at round numbers.

    Args:
        values: that must have a place; one at least.
        start: coordinate of the lowest.
        end: coordinate of the highest.
        wanted: about how many ticks.
    """
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - room, high + room
    rough = (high - low) / wanted
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * each for each in (1, 2, 5, 10) if unit * each >= rough)
    first, last = math.ceil(low / step), math.floor(high / step)
    return Scale(low, high, start, end, [round(place * step, 10) for place in range(first, last + 1)])


def forest(
    lines: Sequence[tuple[str, Interval, Sequence[float], str, str]], start: float, end: float, step: float, best: float
) -> Forest:
    """Return a forest plot.

    Args:
        lines: name, difference, that of each seed, kind of verdict and words of each.
        start: coordinate of its left edge.
        end: of its right edge.
        step: from line to line.
        best: what is shown of a share of 1.
    """
    values = [best * value for _, each, seeds, _, _ in lines for value in (each.low, each.high, *seeds)]
    across = scale([*values, 0.0], start, end)
    bars = [
        Bar(
            name,
            step * (place + 0.5),
            across(best * each.low),
            across(best * each.high),
            across(best * each.value),
            [across(best * seed) for seed in seeds],
            kind,
            words,
        )
        for place, (name, each, seeds, kind, words) in enumerate(lines)
    ]
    return Forest(bars, across, step * len(lines), step)


def scatter(
    title: str, dots: Sequence[tuple[str, float, Interval, str]], width: float, height: float, best: float
) -> Scatter:
    """Return a scatter plot of scores.

    Args:
        title: what the costs are.
        dots: name, cost, score and kind of verdict of each.
        width: of the plot.
        height: of the plot.
        best: what is shown of a share of 1.
    """
    across = scale([cost for _, cost, _, _ in dots], 44, width - 12)
    up = scale([best * bound for _, _, each, _ in dots for bound in (each.low, each.high)], height - 26, 10)
    placed = sorted(dots, key=lambda dot: -dot[2].value)
    labels: list[tuple[float, float]] = []
    found = []
    for name, cost, each, kind in placed:
        x, y = across(cost), up(best * each.value)
        label = y
        while any(abs(x - other_x) < 120 and abs(label - other) < 12 for other_x, other in labels):
            label += 12
        labels.append((x, label))
        found.append(Dot(name, x, y, up(best * each.low), up(best * each.high), kind, label, x > 0.7 * width))
    return Scatter(title, found, across, up)


def panels(
    curves: Sequence[tuple[str, Sequence[Point]]], base: Sequence[Point], width: float, height: float
) -> list[Panel]:
    """Return a panel per curve, all of the same scales.

    Args:
        curves: name and points of each.
        base: points of the baseline.
        width: of a panel.
        height: of a panel.
    """
    points = [point for _, each in curves for point in each] + list(base)
    if not points:
        return []
    across = scale([point.step for point in points], 34, width - 6, 3)
    # A first value far above all others would leave no room for these.
    heights = sorted(bound for point in points for bound in (point.low, point.high))
    up = scale([heights[0], heights[int(0.98 * (len(heights) - 1))]], height - 20, 6, 4)
    return [Panel(name, _line(each, across, up), _line(base, across, up), across, up) for name, each in curves]


def _line(points: Sequence[Point], across: Scale, up: Scale) -> Line:
    there = [(across(point.step), point) for point in points]
    outline = [(x, point.high) for x, point in there] + [(x, point.low) for x, point in reversed(there)]
    return Line(
        " ".join(f"{x},{up(point.mean)}" for x, point in there), " ".join(f"{x},{up(bound)}" for x, bound in outline)
    )
