"""Scenes in symbols instead of pixels: what every place of a frame shows, for a language model that learns to read.

A symbol says of one place of one frame what lies there: "card red", "marker cross", "disc left". Places are those
of a video encoder's tokens: square windows, row by row. Everything comes from the fields of a `Scene`, which questions
are asked about too; no pixel is drawn, no clip is read and no encoder is asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from datamodules.shapes_in_motion.answers import COLOURS, DIRECTIONS, SHAPES, SPEEDS, TEXTURES
from datamodules.shapes_in_motion.placement import Box
from datamodules.shapes_in_motion.scene import Scene

THINGS: dict[str, tuple[str, ...]] = {
    "card": tuple(f"card {colour}" for colour in COLOURS),
    "marker": tuple(f"marker {shape}" for shape in SHAPES),
    "dots": ("dot",),
    "disc": ("disc",),
    "motion": tuple(f"disc {how}" for how in (*DIRECTIONS, *SPEEDS)),
    "tile": tuple(f"tile {texture}" for texture in TEXTURES),
    "strip": ("strip",),
    "flash": tuple(f"flash {colour}" for colour in COLOURS),
}
"""Thing -> its symbols; "disc" says where the moving disc is, as one frame shows it, and "motion" how it moves too."""

SYMBOLS = tuple(symbol for symbols in THINGS.values() for symbol in symbols)

Described = Float32[np.ndarray, "frames rows columns symbols"]


def describe(scene: Scene, frames: Sequence[int], window: int) -> Described:
    """Return how much of what a symbol means lies in every place: shares of 0..1, of dots their number.

    Args:
        scene: what a clip would show.
        frames: numbers of the frames that are seen.
        window: side of a place in pixels; the frame's sides are multiples of it.
    """
    rows, columns = scene.height // window, scene.width // window
    still = np.zeros((rows, columns, len(SYMBOLS)), dtype=np.float32)
    known = scene.answers.by_family

    def put(place: np.ndarray, symbol: str, shares: np.ndarray) -> None:
        place[..., SYMBOLS.index(symbol)] += shares

    marker, strip = scene.marker, _shares(scene.strip, rows, columns, window) > 0
    put(still, f"card {known['colour']}", _shares(scene.card.box, rows, columns, window))
    put(still, f"marker {marker.shape}", _shares(_around(marker.x, marker.y, marker.radius), rows, columns, window))
    put(still, f"tile {scene.tile.texture}", _shares(scene.tile.box, rows, columns, window))
    put(still, "strip", strip)
    for dot in scene.dots:
        put(still, "dot", _shares(_around(*dot), rows, columns, window))
    seen = np.repeat(still[None], len(frames), axis=0)
    (x, y), (right, down) = scene.mover.start, scene.mover.velocity
    for place, frame in zip(seen, frames, strict=True):
        disc = _shares(_around(x + right * frame, y + down * frame, scene.mover.radius), rows, columns, window)
        put(place, "disc", disc)
        put(place, f"disc {known['direction']}", disc)
        put(place, f"disc {known['speed']}", disc)
        for flash in scene.flashes:
            if flash.start <= frame < flash.start + flash.frames:
                put(place, f"flash {flash.colour}", strip)
    return seen


def _around(x: float, y: float, radius: float) -> Box:
    return Box(x - radius, y - radius, x + radius, y + radius)


def _shares(box: Box, rows: int, columns: int, window: int) -> Float32[np.ndarray, "rows columns"]:
    """Return which share of a box lies in each place."""
    edges_x, edges_y = np.arange(columns + 1) * window, np.arange(rows + 1) * window
    width = np.clip(np.minimum(box.right, edges_x[1:]) - np.maximum(box.left, edges_x[:-1]), 0, None)
    height = np.clip(np.minimum(box.bottom, edges_y[1:]) - np.maximum(box.top, edges_y[:-1]), 0, None)
    shares = np.outer(height, width) / ((box.right - box.left) * (box.bottom - box.top))
    return shares.astype(np.float32)
