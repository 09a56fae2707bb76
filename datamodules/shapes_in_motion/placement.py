"""Where the elements of a scene go, so that none hides another in a way that makes an answer wrong.

The mover may cross the tile and pass under dots; it never reaches the card, the marker or the strip, and everything
else lies apart. The middle of the mover's path lies near the middle of the frame, placed as if it went at the highest
speed, so that no single frame tells how it moves. Positions are drawn again until they fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from datamodules.shapes_in_motion.settings import SceneSettings

ATTEMPTS = 2000
"""Draws before settings are called impossible; the defaults need a handful."""

GAP = 1.5
"""Free pixels between elements that must not touch."""


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
        """Return the part that both boxes share; it is empty where they share nothing."""
        return Box(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        )

    @property
    def is_empty(self) -> bool:
        """Whether no point lies inside."""
        return self.left >= self.right or self.top >= self.bottom


@dataclass(frozen=True)
class Placement:
    """Positions of all elements; see `scene.Scene` for their meaning."""

    mover_radius: float
    mover_start: tuple[float, float]
    tile: Box
    card: Box
    dots: tuple[tuple[float, float, float], ...]
    marker: tuple[float, float, float]
    strip: Box


def place(
    settings: SceneSettings,
    rng: np.random.Generator,
    height: int,
    width: int,
    velocity: tuple[float, float],
    marker_position: str,
    dot_count: int,
) -> Placement:
    """Draw positions for all elements.

    Args:
        settings: sizes.
        rng: source of the draws.
        height: of the frame in pixels.
        width: of the frame in pixels.
        velocity: (x, y) of the mover in pixels per frame.
        marker_position: corner of the frame, such as "top left".
        dot_count: number of dots.

    Raises:
        ValueError: no arrangement was found; the elements are too large for the frame.
    """
    frame = Box(0.0, 0.0, float(width), float(height))
    corner = _corner(frame, marker_position, settings.tile_grid)
    longest_path = settings.fast[1] * (settings.frames - 1)
    half_x, half_y = (component * (settings.frames - 1) / 2 for component in velocity)
    for _ in range(ATTEMPTS):
        strip, inner = _split_off_strip(rng, frame, settings.strip_width)
        tile = _tile(rng, inner, settings.tile_size, settings.tile_grid)
        marker = _point(rng, corner.overlap(inner.shrunk(GAP)).shrunk(settings.marker_radius))
        if tile is None or marker is None:
            continue
        marker_box = Box(*marker, *marker).shrunk(-settings.marker_radius - GAP)
        if not marker_box.overlap(tile).is_empty:
            continue
        radius = rng.uniform(*settings.mover_radius)
        room = inner.shrunk(radius + longest_path / 2)
        middle = _point(rng, room.overlap(_around_centre(inner, settings.path_jitter)))
        if middle is None:
            continue
        x, y = middle
        path = Box(x - abs(half_x), y - abs(half_y), x + abs(half_x), y + abs(half_y)).shrunk(-radius)
        if not marker_box.overlap(path).is_empty:
            continue
        card = _card(rng, inner.shrunk(GAP), settings.card_size, (tile, marker_box, path))
        if card is None:
            continue
        taken = (tile, marker_box, card.shrunk(-GAP))
        dots = _dots(rng, inner.shrunk(GAP), dot_count, rng.uniform(*settings.dot_radius), taken)
        if len(dots) == dot_count:
            return Placement(
                radius, (x - half_x, y - half_y), tile, card, dots, (*marker, settings.marker_radius), strip
            )
    raise ValueError(
        f"no room for all elements in a frame of height {height} and width {width}: enlarge `scene.frame_sizes`, or "
        "lower `scene.tile_size`, `scene.card_size`, `scene.mover_radius`, `scene.fast`, `scene.frames`, "
        "`scene.marker_radius` or `scene.strip_width`"
    )


def _split_off_strip(rng: np.random.Generator, frame: Box, thickness: int) -> tuple[Box, Box]:
    """Cut a strip off one edge of the frame, chosen at random; return it and the rest."""
    left, top, right, bottom = frame.left, frame.top, frame.right, frame.bottom
    edges = (
        (Box(left, top, left + thickness, bottom), Box(left + thickness, top, right, bottom)),
        (Box(right - thickness, top, right, bottom), Box(left, top, right - thickness, bottom)),
        (Box(left, top, right, top + thickness), Box(left, top + thickness, right, bottom)),
        (Box(left, bottom - thickness, right, bottom), Box(left, top, right, bottom - thickness)),
    )
    return edges[int(4 * rng.random())]


def _around_centre(box: Box, distance: float) -> Box:
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    return Box(x, y, x, y).shrunk(-distance)


def _point(rng: np.random.Generator, box: Box) -> tuple[float, float] | None:
    """Draw a point, or none from an empty box."""
    if box.is_empty:
        return None
    x = box.left + (box.right - box.left) * rng.random()
    y = box.top + (box.bottom - box.top) * rng.random()
    return x, y


def _tile(rng: np.random.Generator, inner: Box, size: int, grid: int) -> Box | None:
    """Draw a square of `size` with its corner on the grid, or none where no such square fits."""
    lefts = [left for left in range(0, int(inner.right) - size + 1, grid) if left >= inner.left]
    tops = [top for top in range(0, int(inner.bottom) - size + 1, grid) if top >= inner.top]
    if not lefts or not tops:
        return None
    left, top = float(lefts[int(len(lefts) * rng.random())]), float(tops[int(len(tops) * rng.random())])
    return Box(left, top, left + size, top + size)


def _card(rng: np.random.Generator, inner: Box, size: int, taken: tuple[Box, ...]) -> Box | None:
    """Draw a square of `size` on whole pixels, clear of the taken boxes, or none where a few draws find no place."""
    for _ in range(16):
        corner = _point(rng, Box(inner.left, inner.top, inner.right - size, inner.bottom - size))
        if corner is None:
            return None
        left, top = math.ceil(corner[0]), math.ceil(corner[1])
        card = Box(left, top, left + size, top + size)
        if all(card.shrunk(-GAP).overlap(other).is_empty for other in taken):
            return card
    return None


def _corner(frame: Box, position: str, size: int) -> Box:
    vertical, horizontal = position.split()
    left = 0.0 if horizontal == "left" else frame.right - size
    top = 0.0 if vertical == "top" else frame.bottom - size
    return Box(left, top, left + size, top + size)


def _dots(
    rng: np.random.Generator, inner: Box, count: int, radius: float, taken: tuple[Box, ...]
) -> tuple[tuple[float, float, float], ...]:
    """Scatter up to `count` dots clear of the taken boxes and of each other."""
    area = inner.shrunk(radius)
    dots: list[tuple[float, float, float]] = []
    if area.is_empty:
        return ()
    for x, y in rng.uniform((area.left, area.top), (area.right, area.bottom), size=(64, 2)).tolist():
        box = Box(x, y, x, y).shrunk(-radius - GAP)
        free = all(box.overlap(other).is_empty for other in taken)
        # The dark rims of two dots keep apart too, so that dots never merge into one.
        if free and all(math.hypot(x - dot[0], y - dot[1]) > 2 * (radius + GAP) for dot in dots):
            dots.append((x, y, radius))
            if len(dots) == count:
                break
    return tuple(dots)
