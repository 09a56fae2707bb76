"""Positions of the elements of a scene, such that none hides another in a way that makes an answer wrong.

A frame is divided into windows, and each window into four cells. The marker is in the middle of a corner window, and
each tile fills a window. Card, lamps and dots are in the middle of separate cells, card and lamps in different windows.
The mover goes straight from card or tile to another of these, over them and under everything else. The strip takes an
edge of the frame, and cells that it cuts stay empty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datamodules.shapes_in_motion.answers import STATIONS
from datamodules.shapes_in_motion.settings import SceneSettings

ATTEMPTS = 200
"""Number of random draws before settings count as impossible; the defaults need one or two."""


@dataclass(frozen=True)
class Box:
    """A rectangle from (left, top) up to, not including, (right, bottom)."""

    left: float
    top: float
    right: float
    bottom: float

    def shrunk(self, margin: float) -> Box:
        """Return the box with every edge moved inwards."""
        return Box(self.left + margin, self.top + margin, self.right - margin, self.bottom - margin)

    def overlap(self, other: Box) -> Box:
        """Return the intersection of both boxes, which may be empty."""
        return Box(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        )

    def quarters(self) -> list[Box]:
        """Return the four equal quarters of the box."""
        x, y = self.centre
        columns, rows = ((self.left, x), (x, self.right)), ((self.top, y), (y, self.bottom))
        return [Box(left, top, right, bottom) for top, bottom in rows for left, right in columns]

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of the box, (x, y)."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


@dataclass(frozen=True)
class Placement:
    """The positions of all elements; see `scene.Scene` for their meaning."""

    mover_radius: float
    mover_start: tuple[float, float]
    mover_velocity: tuple[float, float]
    tiles: tuple[Box, Box]
    card: Box
    lamps: tuple[Box, Box]
    dots: tuple[tuple[float, float, float], ...]
    marker: tuple[float, float, float]
    strip: Box


def place(
    settings: SceneSettings,
    rng: np.random.Generator,
    height: int,
    width: int,
    ends: tuple[str, str],
    marker_position: str,
    dot_count: int,
) -> Placement:
    """Draw random positions for all elements.

    Args:
        settings: sizes of the elements.
        rng: random number generator.
        height: height of the frame in pixels.
        width: width of the frame in pixels.
        ends: start and end of the mover's path, names of `answers.STATIONS`.
        marker_position: corner of the frame, such as "top left".
        dot_count: number of dots.

    Raises:
        ValueError: no arrangement was found; the elements are too large for the frame.
    """
    frame = Box(0.0, 0.0, float(width), float(height))
    for _ in range(ATTEMPTS):
        strip, inner = _split_off_strip(rng, frame, settings.strip_width)
        windows = _windows(frame, settings.window, rng)
        corner = _corner(windows, marker_position)
        marker = _near_middle(rng, corner, inner, settings.marker_radius, settings.jitter)
        rest = [window for window in windows if window != corner]
        whole = [window for window in rest if window.overlap(inner) == window]
        if marker is None or len(whole) < 2:
            continue
        tiles = whole[0], whole[1]
        free = [
            (window, cell)
            for window in rest
            if window not in tiles
            for cell in window.quarters()
            if cell.overlap(inner) == cell
        ]
        places = _apart([free[number] for number in rng.permutation(len(free)).tolist()])
        if len(places) < 3 + dot_count:
            continue
        dot_radius = rng.uniform(*settings.dot_radius)
        radii = (settings.card_size / 2, *[settings.lamp_size / 2] * 2, *[dot_radius] * dot_count)
        points = [
            _near_middle(rng, cell, inner, radius, settings.jitter) for cell, radius in zip(places, radii, strict=False)
        ]
        still = [point for point in points if point is not None]
        if len(still) < len(points):
            continue
        card, sides = _on_pixels(still[0], settings.card_size), settings.lamp_size
        lamps = _on_pixels(still[1], sides), _on_pixels(still[2], sides)
        dots = tuple((x, y, dot_radius) for x, y in still[3:])
        ends_of_path = (card, *(tile.quarters()[int(rng.integers(4))] for tile in tiles))
        stations = dict(zip(STATIONS, ends_of_path, strict=True))
        start, velocity = _path(rng, settings, *(stations[end] for end in ends))
        return Placement(
            rng.uniform(*settings.mover_radius),
            start,
            velocity,
            tiles,
            card,
            lamps,
            dots,
            (*marker, settings.marker_radius),
            strip,
        )
    raise ValueError(
        f"no room for all elements in a frame of height {height} and width {width}: enlarge `scene.frame_sizes`, or "
        "lower `scene.window`, `scene.card_size`, `scene.lamp_size`, `scene.mover_radius`, `scene.dot_radius`, "
        "`scene.marker_radius` or `scene.strip_width`"
    )


def _split_off_strip(rng: np.random.Generator, frame: Box, thickness: int) -> tuple[Box, Box]:
    """Return a strip along a random edge of the frame, and the rest of the frame."""
    left, top, right, bottom = frame.left, frame.top, frame.right, frame.bottom
    edges = (
        (Box(left, top, left + thickness, bottom), Box(left + thickness, top, right, bottom)),
        (Box(right - thickness, top, right, bottom), Box(left, top, right - thickness, bottom)),
        (Box(left, top, right, top + thickness), Box(left, top + thickness, right, bottom)),
        (Box(left, bottom - thickness, right, bottom), Box(left, top, right, bottom - thickness)),
    )
    return edges[int(4 * rng.random())]


def _apart(cells: list[tuple[Box, Box]]) -> list[Box]:
    """Return the cells of (window, cell) pairs, first three in different windows; none if there are no such three."""
    first: dict[Box, Box] = {}
    for window, cell in cells:
        first.setdefault(window, cell)
    apart = list(first.values())[:3]
    return [*apart, *(cell for _, cell in cells if cell not in apart)] if len(apart) == 3 else []


def _windows(frame: Box, side: int, rng: np.random.Generator) -> list[Box]:
    """Return the windows of the frame in random order."""
    rows, columns = int(frame.bottom) // side, int(frame.right) // side
    corners = [(column * side, row * side) for row in range(rows) for column in range(columns)]
    order = rng.permutation(len(corners)).tolist()
    return [Box(float(x), float(y), float(x + side), float(y + side)) for x, y in (corners[place] for place in order)]


def _corner(windows: list[Box], position: str) -> Box:
    vertical, horizontal = position.split()
    sideways, downwards = 1 if horizontal == "right" else -1, 1 if vertical == "bottom" else -1
    return max(windows, key=lambda window: sideways * window.left + downwards * window.top)


def _near_middle(
    rng: np.random.Generator, place: Box, inner: Box, radius: float, jitter: float
) -> tuple[float, float] | None:
    """Return a point near the middle of `place`, at least `radius` from its edges and the strip; None if impossible."""
    room = place.overlap(inner).shrunk(radius)
    if room.left > room.right or room.top > room.bottom:
        return None
    x, y = place.centre
    x, y = _point(rng, Box(x, y, x, y).shrunk(-jitter))
    return min(max(x, room.left), room.right), min(max(y, room.top), room.bottom)


def _on_pixels(centre: tuple[float, float], side: int) -> Box:
    left, top = (float(round(middle - side / 2)) for middle in centre)
    return Box(left, top, left + side, top + side)


def _point(rng: np.random.Generator, box: Box) -> tuple[float, float]:
    x = box.left + (box.right - box.left) * rng.random()
    y = box.top + (box.bottom - box.top) * rng.random()
    return x, y


def _path(
    rng: np.random.Generator, settings: SceneSettings, first: Box, last: Box
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the start and velocity (pixels per frame) of a path from near the middle of one box to that of another."""
    (start_x, start_y), (end_x, end_y) = (
        _point(rng, Box(*box.centre, *box.centre).shrunk(-settings.jitter)) for box in (first, last)
    )
    steps = settings.frames - 1
    return (start_x, start_y), ((end_x - start_x) / steps, (end_y - start_y) / steps)
