"""Scenes as symbols instead of pixels, to pretrain a language model that reads them.

A symbol tells what is at one place of one frame: "card red", "marker cross", or "lamp red alone" for a lamp that is lit
and dark in the seen frames before and after. Places correspond to the tokens of a video encoder: square windows, row by
row. Everything comes from the fields of a `Scene`, without rendering, reading or encoding a clip.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from datamodules.shapes_in_motion.answers import COLOURS, SHAPES, TEXTURES, TILES
from datamodules.shapes_in_motion.placement import Box
from datamodules.shapes_in_motion.scene import Scene

THINGS: dict[str, tuple[str, ...]] = {
    "card": tuple(f"card {colour}" for colour in COLOURS),
    "marker": (*(f"marker {shape}" for shape in SHAPES), "no marker"),
    "dots": ("dot",),
    "disc": ("disc",),
    "lamp": tuple(f"lamp {colour}" for colour in (*COLOURS, "dark")),
    "lamp alone": tuple(f"lamp {colour} alone" for colour in COLOURS),
    "tone": tuple(f"tile {tone}" for tone in TILES),
    "tile": tuple(f"tile {texture}" for texture in TEXTURES),
    "strip": ("strip",),
    "flash": tuple(f"flash {colour}" for colour in COLOURS),
}
"""The symbols of each kind of thing. "no marker" applies to a whole frame and to no single place."""

SYMBOLS = tuple(symbol for symbols in THINGS.values() for symbol in symbols)

Described = Float32[np.ndarray, "frames rows columns symbols"]
DescribedAsAWhole = Float32[np.ndarray, "frames symbols"]


def describe(scene: Scene, frames: Sequence[int], window: int) -> Described:
    """Return how much of each symbol is at every place: shares of 0..1, and for dots their number.

    Args:
        scene: scene to describe.
        frames: numbers of the frames that are seen.
        window: side of a place in pixels; the sides of the frame must be multiples of it.
    """
    rows, columns = scene.height // window, scene.width // window
    still = np.zeros((rows, columns, len(SYMBOLS)), dtype=np.float32)
    truth = scene.answers.by_family

    def put(place: np.ndarray, symbol: str, shares: np.ndarray) -> None:
        place[..., SYMBOLS.index(symbol)] += shares

    strip = _shares(scene.strip, rows, columns, window) > 0
    marker = _shares(_around(scene.marker.x, scene.marker.y, scene.marker.radius), rows, columns, window)
    put(still, f"card {truth['colour']}", _shares(scene.card.box, rows, columns, window))
    put(still, "strip", strip)
    for name, tile in zip(TILES, scene.tiles, strict=True):
        put(still, f"tile {name}", _shares(tile.box, rows, columns, window))
        put(still, f"tile {tile.texture}", _shares(tile.box, rows, columns, window))
    for dot in scene.dots:
        put(still, "dot", _shares(_around(*dot), rows, columns, window))
    seen = np.repeat(still[None], len(frames), axis=0)
    (x, y), (right, down) = scene.mover.start, scene.mover.velocity
    for number, frame in enumerate(frames):
        disc = _around(x + right * frame, y + down * frame, scene.mover.radius)
        put(seen[number], "disc", _shares(disc, rows, columns, window))
        flashes = [flash for flash in scene.flashes if flash.lit(frame)]
        for flash in flashes:
            put(seen[number], f"flash {flash.colour}", strip)
        if not any(flash.hides_marker for flash in flashes):
            put(seen[number], f"marker {scene.marker.shape}", marker)
    for lamp in scene.lamps:
        lit, place = [lamp.lit(frame) for frame in frames], _shares(lamp.box, rows, columns, window)
        for number, now in enumerate(lit):
            put(seen[number], f"lamp {lamp.colour if now else 'dark'}", place)
            if lit[max(number - 1, 0) : number + 2] == [False, True, False]:
                put(seen[number], f"lamp {lamp.colour} alone", place)
    return seen


def as_a_whole(places: Described) -> DescribedAsAWhole:
    """Return what whole frames show: the sum over their places, and "no marker" if the marker is at none of them."""
    seen: DescribedAsAWhole = places.sum((1, 2))
    markers = [SYMBOLS.index(symbol) for symbol in THINGS["marker"]]
    seen[:, SYMBOLS.index("no marker")] = ~seen[:, markers].any(axis=1)
    return seen


def _around(x: float, y: float, radius: float) -> Box:
    return Box(x - radius, y - radius, x + radius, y + radius)


def _shares(box: Box, rows: int, columns: int, window: int) -> Float32[np.ndarray, "rows columns"]:
    """Return the share of a box that is in each place."""
    edges_x, edges_y = np.arange(columns + 1) * window, np.arange(rows + 1) * window
    width = np.clip(np.minimum(box.right, edges_x[1:]) - np.maximum(box.left, edges_x[:-1]), 0, None)
    height = np.clip(np.minimum(box.bottom, edges_y[1:]) - np.maximum(box.top, edges_y[:-1]), 0, None)
    shares = np.outer(height, width) / ((box.right - box.left) * (box.bottom - box.top))
    return shares.astype(np.float32)
