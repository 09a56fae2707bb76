"""Renders a scene to pixels.

Edges are anti-aliased, so that motion by a fraction of a pixel is visible. Everything is drawn for all frames at once,
since thousands of clips are rendered before the first training run can start.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, UInt8

from datamodules.shapes_in_motion.answers import COLOURS, Rgb
from datamodules.shapes_in_motion.placement import Box
from datamodules.shapes_in_motion.scene import Lamp, Marker, Mover, Scene, Tile

STRIP_OFF = (45.0, 45.0, 45.0)
# These colours are not among the answers, so that these elements can be recognised without knowing their shape.
MOVER = (250.0, 250.0, 250.0)
DOT = (245.0, 140.0, 35.0)
MARKER = (255.0, 125.0, 195.0)
LAMP_OFF = (0.0, 0.0, 0.0)

Plane = Float32[np.ndarray, "height width"]
Planes = Float32[np.ndarray, "#frames height width"]
Offset = Float32[np.ndarray, "frames height width"]
Image = Float32[np.ndarray, "3 height width"]
Video = Float32[np.ndarray, "3 frames height width"]


def render(scene: Scene) -> UInt8[np.ndarray, "frames height width 3"]:
    """Return all frames of a scene; the same scene gives the same bytes."""
    y, x = np.meshgrid(
        np.arange(scene.height, dtype=np.float32) + 0.5, np.arange(scene.width, dtype=np.float32) + 0.5, indexing="ij"
    )
    still = _gradient(scene, x, y)
    for tile in scene.tiles:
        _draw_tile(still, tile)
    video = np.repeat(still[:, None], scene.frames, axis=1)
    card_rows, card_columns = _area(scene.card.box)
    video[:, :, card_rows, card_columns] = _planes(scene.card.rgb)[:, None]
    _blend(video, _mover_coverage(scene.mover, scene.frames, x, y), MOVER)
    for lamp in scene.lamps:
        _draw_lamp(video, lamp, x, y)
    for dot_x, dot_y, radius in scene.dots:
        _blend(video, _coverage(radius - np.hypot(x - dot_x, y - dot_y))[None], DOT)
    _blend(video, _marker_coverage(scene.marker, x, y)[None] * _marker_shown(scene), MARKER)
    _draw_strip(video, scene)
    noise = np.random.Generator(np.random.PCG64(scene.noise_seed)).standard_normal(video.shape[1:], dtype=np.float32)
    video += np.float32(scene.noise) * noise
    pixels = np.rint(np.clip(video, 0, 255, out=video), out=video).astype(np.uint8)
    return np.stack(list(pixels), axis=-1)


def _coverage(depth: Float32[np.ndarray, "*axes"]) -> Float32[np.ndarray, "*axes"]:
    """Return the share of each pixel that is covered, from the depth of its centre inside an edge in pixels."""
    share: Float32[np.ndarray, "*axes"] = np.clip(depth + np.float32(0.5), 0, 1)
    return share


def _blend(video: Video, coverage: Planes, rgb: Rgb) -> None:
    rows = np.flatnonzero(coverage.any(axis=(0, 2)))
    columns = np.flatnonzero(coverage.any(axis=(0, 1)))
    area = (..., slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    part = video[area]
    part += coverage[area] * (_planes(rgb)[..., None] - part)


def _planes(rgb: Rgb) -> Float32[np.ndarray, "3 1 1"]:
    return np.array(rgb, dtype=np.float32)[:, None, None]


def _draw_lamp(video: Video, lamp: Lamp, x: Plane, y: Plane) -> None:
    (centre_x, centre_y), half = lamp.box.centre, (lamp.box.right - lamp.box.left) / 2
    diamond = _coverage(np.float32(np.sqrt(0.5)) * (half - np.abs(x - centre_x) - np.abs(y - centre_y)))
    shown = [COLOURS[lamp.colour] if lamp.lit(frame) else LAMP_OFF for frame in range(video.shape[1])]
    colours = np.array(shown, dtype=np.float32)
    video += diamond * (colours.T[..., None, None] - video)


def _marker_shown(scene: Scene) -> Float32[np.ndarray, "frames 1 1"]:
    hiding = [flash for flash in scene.flashes if flash.hides_marker]
    shown = [not any(flash.lit(frame) for flash in hiding) for frame in range(scene.frames)]
    return np.array(shown, dtype=np.float32)[:, None, None]


def _area(box: Box) -> tuple[slice, slice]:
    return slice(int(box.top), int(box.bottom)), slice(int(box.left), int(box.right))


def _gradient(scene: Scene, x: Plane, y: Plane) -> Image:
    along = np.cos(scene.gradient) * (x / scene.width - 0.5) + np.sin(scene.gradient) * (y / scene.height - 0.5)
    share = (along / np.sqrt(2) + 0.5).astype(np.float32)
    first, second = (_planes(rgb) for rgb in scene.background)
    colours: Image = first + share * (second - first)
    return colours


def _square_wave(length: int, period: int, phase: float) -> Float32[np.ndarray, "length"]:
    """Return +1 on light and -1 on dark stripes, averaged over each pixel, so that every phase looks different."""

    def light_up_to(position: np.ndarray) -> np.ndarray:
        whole, rest = np.divmod(position, period)
        return whole * period / 2 + np.minimum(rest, period / 2)

    edges = np.arange(length + 1) + phase
    light: np.ndarray = np.diff(light_up_to(edges))
    return (2 * light - 1).astype(np.float32)


def _draw_tile(still: Image, tile: Tile) -> None:
    rows, columns = _area(tile.box)
    size = rows.stop - rows.start
    across = _square_wave(size, tile.period, tile.phase[0])[None, :]
    down = _square_wave(size, tile.period, tile.phase[1])[:, None]
    waves = {
        "plain": np.zeros((1, 1), dtype=np.float32),
        "horizontal": down,
        "vertical": across,
        "checkered": across * down,
    }
    still[:, rows, columns] = np.float32(tile.tone) * (1 + np.float32(tile.contrast) * waves[tile.texture])


def _mover_coverage(mover: Mover, frames: int, x: Plane, y: Plane) -> Float32[np.ndarray, "frames height width"]:
    time = np.arange(frames, dtype=np.float32)[:, None, None]
    right = x - np.float32(mover.start[0]) - np.float32(mover.velocity[0]) * time
    down = y - np.float32(mover.start[1]) - np.float32(mover.velocity[1]) * time
    return _coverage(_circle(right, down, np.float32(mover.radius)))


def _marker_coverage(marker: Marker, x: Plane, y: Plane) -> Plane:
    depth = _DEPTHS[marker.shape]
    return _coverage(depth(x - np.float32(marker.x), y - np.float32(marker.y), np.float32(marker.radius)))


def _circle(right: Offset, down: Offset, radius: np.float32) -> Offset:
    depth: Offset = radius - np.hypot(right, down)
    return depth


def _square(right: Offset, down: Offset, radius: np.float32) -> Offset:
    depth: Offset = radius - np.maximum(np.abs(right), np.abs(down))
    return depth


def _cross(right: Offset, down: Offset, radius: np.float32) -> Offset:
    aside, beyond, arm = np.abs(right), np.abs(down), np.float32(0.3) * radius
    depth: Offset = np.maximum(np.minimum(arm - aside, radius - beyond), np.minimum(radius - aside, arm - beyond))
    return depth


def _triangle(right: Offset, down: Offset, radius: np.float32) -> Offset:
    flank = ((radius + down) / 2 - np.abs(right)) * np.float32(2 / np.sqrt(5))  # apex above, base below
    depth: Offset = np.minimum(flank, radius - down)
    return depth


_DEPTHS = {"circle": _circle, "square": _square, "cross": _cross, "triangle": _triangle}
"""Functions that return how deep a pixel is inside each shape, from its offset to the centre of the shape."""


def _draw_strip(video: Video, scene: Scene) -> None:
    rows, columns = _area(scene.strip)
    video[:, :, rows, columns] = _planes(STRIP_OFF)[..., None]
    for flash in scene.flashes:
        video[:, flash.start : flash.start + flash.frames, rows, columns] = _planes(flash.rgb)[..., None]
