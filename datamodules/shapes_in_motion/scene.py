"""What a generated clip shows: the ground truth that rendering draws and questions ask about.

All question families are asked about the same kind of scene: a disc moves over a still textured tile, a coloured card,
a few dots and a marker lie still, and a strip along one edge of the frame flashes twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datamodules.shapes_in_motion.answers import COLOURS, COUNTS, DIRECTIONS, Answers, Rgb, deal_answers
from datamodules.shapes_in_motion.placement import Box, place
from datamodules.shapes_in_motion.settings import SceneSettings
from datamodules.shapes_in_motion.streams import random_stream


@dataclass(frozen=True)
class Mover:
    """The moving disc; `start` is its centre in the first frame, `velocity` its pixels per frame, both (x, y)."""

    radius: float
    start: tuple[float, float]
    velocity: tuple[float, float]


@dataclass(frozen=True)
class Tile:
    """The textured tile; `phase` shifts the texture in pixels (x, y), `contrast` is 0..1."""

    box: Box
    texture: str
    period: int
    phase: tuple[float, float]
    tone: float
    contrast: float


@dataclass(frozen=True)
class Card:
    """The still coloured square."""

    box: Box
    rgb: Rgb


@dataclass(frozen=True)
class Marker:
    """The still pink shape, by its centre and half size."""

    shape: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Flash:
    """One flash of the strip; `start` is its first frame."""

    colour: str
    rgb: Rgb
    start: int
    frames: int


@dataclass(frozen=True)
class Scene:
    """Everything that a clip shows, in pixels with x to the right and y downwards.

    Attributes:
        answers: what is right to say about it.
        height: of the frames.
        width: of the frames.
        frames: number of frames.
        fps: frames per second.
        background: colours at the two ends of a linear gradient.
        gradient: direction of the gradient in radians.
        mover: the moving disc.
        tile: the textured tile.
        card: the coloured square.
        dots: (x, y, radius) of the counted dots.
        marker: the shape that lies in one corner of the frame.
        strip: the part of the frame that flashes.
        flashes: the two flashes in order of time.
        noise: standard deviation of the pixel noise, levels of 0..255.
        noise_seed: decides the noise.
    """

    answers: Answers
    height: int
    width: int
    frames: int
    fps: int
    background: tuple[Rgb, Rgb]
    gradient: float
    mover: Mover
    tile: Tile
    card: Card
    dots: tuple[tuple[float, float, float], ...]
    marker: Marker
    strip: Box
    flashes: tuple[Flash, Flash]
    noise: float
    noise_seed: int


def sample_scene(settings: SceneSettings, seed: int, split: str, index: int) -> Scene:
    """Draw clip `index` of a split: the same arguments give the same scene, in any process.

    Raises:
        ValueError: an unknown split, a negative seed, or settings that leave no room for all elements.
    """
    answers = deal_answers(seed, split, index)
    known = answers.by_family
    rng = random_stream(seed, split, 1, index)

    height, width = settings.frame_sizes[rng.integers(len(settings.frame_sizes))]
    speed = rng.uniform(*getattr(settings, known["speed"]))
    step_x, step_y = DIRECTIONS[known["direction"]]
    velocity = (step_x * speed, step_y * speed)
    dot_count = COUNTS.index(known["count"]) + 1
    layout = place(settings, rng, height, width, velocity, known["position"], dot_count)

    return Scene(
        answers=answers,
        height=height,
        width=width,
        frames=settings.frames,
        fps=settings.fps,
        background=(_muted(rng), _muted(rng)),
        gradient=rng.uniform(0, 2 * np.pi),
        mover=Mover(layout.mover_radius, layout.mover_start, velocity),
        tile=Tile(
            layout.tile,
            known["texture"],
            settings.texture_period,
            (settings.texture_period * rng.random(), settings.texture_period * rng.random()),
            tone=settings.tile_tone,
            contrast=settings.texture_contrast,
        ),
        card=Card(layout.card, _jitter(rng, COLOURS[known["colour"]], settings.colour_jitter)),
        dots=layout.dots,
        marker=Marker(known["shape"], *layout.marker),
        strip=layout.strip,
        flashes=_flashes(settings, rng, known["order"], answers.asked_flash),
        noise=settings.noise,
        noise_seed=int(rng.integers(2**62)),
    )


def _flashes(settings: SceneSettings, rng: np.random.Generator, asked: str, end: str) -> tuple[Flash, Flash]:
    """Put two flashes of different colours anywhere in time; the one at the asked end has the asked colour."""
    others = [colour for colour in COLOURS if colour != asked]
    other = others[rng.integers(len(others))]
    colours = (asked, other) if end == "first" else (other, asked)
    # Two starts at least one flash and one dark frame apart: draw without the gap, then push the second back.
    gap = settings.flash_frames
    first, second = sorted(rng.choice(settings.frames - settings.flash_frames + 1 - gap, size=2, replace=False))
    starts = (int(first), int(second) + gap)
    rgbs = [_jitter(rng, COLOURS[colour], settings.colour_jitter) for colour in colours]
    return (
        Flash(colours[0], rgbs[0], starts[0], settings.flash_frames),
        Flash(colours[1], rgbs[1], starts[1], settings.flash_frames),
    )


def _muted(rng: np.random.Generator) -> Rgb:
    """Draw a dark greyish colour that nothing else in a scene has."""
    grey = rng.uniform(35.0, 75.0)
    red, green, blue = (grey + rng.uniform(-8.0, 8.0) for _ in range(3))
    return red, green, blue


def _jitter(rng: np.random.Generator, rgb: Rgb, amount: float) -> Rgb:
    red, green, blue = (min(max(channel + rng.uniform(-amount, amount), 0.0), 255.0) for channel in rgb)
    return red, green, blue
