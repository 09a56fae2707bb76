"""Layout of plots: plain coordinates, which the page's template draws as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ablation.comparing.curves import Point
from lightning_modules.scoring.interval import Interval


@dataclass(frozen=True)
class Scale:
    """A linear scale.

    Attributes:
        low: value at `start`.
        high: value at `end`.
        start: coordinate of `low`.
        end: coordinate of `high`.
        ticks: values with a tick.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: Sequence[float]

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value, clipped to the scale, to a hundredth of a pixel."""
        inside = min(max(value, self.low), self.high)
        return round(self.start + (inside - self.low) / (self.high - self.low) * (self.end - self.start), 2)


@dataclass(frozen=True)
class Bar:
    """A line of a forest plot.

    Attributes:
        name: name of the experiment.
        y: vertical position of the line.
        low: left end of the interval.
        high: right end of the interval.
        at: position of the estimate.
        seeds: positions of the single seeds' estimates, if there are several.
        kind: CSS class of the verdict, which colours the bar.
        words: text beside the bar.
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
    """A forest plot: differences with their intervals, one per line, with a line at zero."""

    bars: Sequence[Bar]
    scale: Scale
    height: float
    step: float


@dataclass(frozen=True)
class Dot:
    """A dot of a scatter plot: an experiment at its cost, with the interval of its score."""

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
    """A scatter plot of scores over costs."""

    title: str
    dots: Sequence[Dot]
    across: Scale
    up: Scale


@dataclass(frozen=True)
class Line:
    """A learning curve: points of its line, and the outline of the band between its seeds, as SVG lists of points."""

    line: str
    band: str


@dataclass(frozen=True)
class Panel:
    """A plot of an experiment's learning curve in front of the baseline's."""

    name: str
    ours: Line
    base: Line
    across: Scale
    up: Scale


def scale(values: Sequence[float], start: float, end: float, wanted: int = 5) -> Scale:
    """Return a scale with room for all values, and ticks at round numbers.

    Args:
        values: values that must fit; at least one.
        start: coordinate of the low end.
        end: coordinate of the high end.
        wanted: approximate number of ticks.
    """
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - room, high + room
    rough = (high - low) / wanted
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    first, last = math.ceil(low / step), math.floor(high / step)
    return Scale(low, high, start, end, [round(place * step, 10) for place in range(first, last + 1)])


def forest(
    lines: Sequence[tuple[str, Interval, Sequence[float], str, str]], start: float, end: float, step: float, best: float
) -> Forest:
    """Return a forest plot.

    Args:
        lines: per line its name, difference, differences of single seeds, kind of verdict, and text.
        start: coordinate of the left edge.
        end: coordinate of the right edge.
        step: distance between lines.
        best: displayed value of a share of 1.
    """
    values = [best * value for _, interval, seeds, _, _ in lines for value in (interval.low, interval.high, *seeds)]
    across = scale([*values, 0.0], start, end)
    bars = [
        Bar(
            name,
            step * (place + 0.5),
            across(best * interval.low),
            across(best * interval.high),
            across(best * interval.value),
            [across(best * seed) for seed in seeds],
            kind,
            words,
        )
        for place, (name, interval, seeds, kind, words) in enumerate(lines)
    ]
    return Forest(bars, across, step * len(lines), step)


def scatter(
    title: str, dots: Sequence[tuple[str, float, Interval, str]], width: float, height: float, best: float
) -> Scatter:
    """Return a scatter plot of scores.

    Args:
        title: name of the cost.
        dots: per experiment its name, cost, score and kind of verdict.
        width: width of the plot.
        height: height of the plot.
        best: displayed value of a share of 1.
    """
    across = scale([cost for _, cost, _, _ in dots], 44, width - 12)
    up = scale([best * bound for _, _, score, _ in dots for bound in (score.low, score.high)], height - 26, 10)
    placed = sorted(dots, key=lambda dot: -dot[2].value)
    labels: list[tuple[float, float]] = []
    points = []
    for name, cost, score, kind in placed:
        x, y = across(cost), up(best * score.value)
        label = y
        while any(abs(x - other_x) < 120 and abs(label - other) < 12 for other_x, other in labels):
            label += 12
        labels.append((x, label))
        points.append(Dot(name, x, y, up(best * score.low), up(best * score.high), kind, label, x > 0.7 * width))
    return Scatter(title, points, across, up)


def panels(
    curves: Sequence[tuple[str, Sequence[Point]]], base: Sequence[Point], width: float, height: float
) -> list[Panel]:
    """Return a panel per curve, all of the same scales.

    Args:
        curves: name and points of every experiment's curve.
        base: points of the baseline's curve.
        width: width of a panel.
        height: height of a panel.
    """
    points = [point for _, curve in curves for point in curve] + list(base)
    if not points:
        return []
    across = scale([point.step for point in points], 34, width - 6, 3)
    # High values in the first steps would leave no room for all others.
    heights = sorted(bound for point in points for bound in (point.low, point.high))
    up = scale([heights[0], heights[int(0.98 * (len(heights) - 1))]], height - 20, 6, 4)
    return [Panel(name, _line(curve, across, up), _line(base, across, up), across, up) for name, curve in curves]


def _line(points: Sequence[Point], across: Scale, up: Scale) -> Line:
    placed = [(across(point.step), point) for point in points]
    outline = [(x, point.high) for x, point in placed] + [(x, point.low) for x, point in reversed(placed)]
    return Line(
        " ".join(f"{x},{up(point.mean)}" for x, point in placed), " ".join(f"{x},{up(bound)}" for x, bound in outline)
    )
