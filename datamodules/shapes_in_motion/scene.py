"""The content of a generated clip: the ground truth that is rendered and that questions are about.

All question families are about the same kind of scene. Two textured tiles, a coloured card and a few dots do not move;
a disc moves from one of card and tiles to another; two lamps go on and off, one of them twice as often; and a strip
along one edge of the frame flashes twice. During one of the flashes the marker in a corner is hidden.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datamodules.shapes_in_motion.answers import (
    COLOURS,
    COUNTS,
    STATIONS,
    TEXTURES,
    TILES,
    Answers,
    Rgb,
    deal_answers,
)
from datamodules.shapes_in_motion.placement import Box, place
from datamodules.shapes_in_motion.settings import SceneSettings, random_stream


@dataclass(frozen=True)
class Mover:
    """The moving disc; `start` is its centre in the first frame, `velocity` its pixels per frame, both (x, y)."""

    radius: float
    start: tuple[float, float]
    velocity: tuple[float, float]


@dataclass(frozen=True)
class Tile:
    """A textured tile; `phase` shifts the texture in pixels (x, y), and `contrast` is 0..1."""

    box: Box
    texture: str
    period: int
    phase: tuple[float, float]
    tone: float
    contrast: float


@dataclass(frozen=True)
class Card:
    """The coloured square, which does not move."""

    box: Box
    rgb: Rgb


@dataclass(frozen=True)
class Lamp:
    """A diamond that is lit and dark for `frames` frames in turn, starting `phase` frames before the clip."""

    box: Box
    colour: str
    frames: int
    phase: int

    def lit(self, frame: int) -> bool:
        """Return whether the lamp is lit in a frame."""
        return (frame + self.phase) // self.frames % 2 == 0


@dataclass(frozen=True)
class Marker:
    """The pink shape, which does not move; (x, y) is its centre and `radius` half of its size."""

    shape: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Flash:
    """One flash of the strip; `start` is its first frame, and `hides_marker` whether it hides the marker."""

    colour: str
    rgb: Rgb
    start: int
    frames: int
    hides_marker: bool

    def lit(self, frame: int) -> bool:
        """Return whether the flash is visible in a frame."""
        return self.start <= frame < self.start + self.frames


@dataclass(frozen=True)
class Scene:
    """Everything that a clip shows. Lengths are in pixels, with x to the right and y downwards.

    Attributes:
        answers: right answers about the clip.
        height: height of the frames.
        width: width of the frames.
        frames: number of frames.
        fps: frames per second.
        background: colours at the two ends of a linear gradient.
        gradient: direction of the gradient in radians.
        mover: the moving disc.
        tiles: the light and the dark tile.
        card: the coloured square.
        lamps: the lamp that blinks, and the lamp that goes on and off half as often.
        dots: (x, y, radius) of the counted dots.
        marker: the shape in one corner of the frame, hidden during one flash.
        strip: the part of the frame that flashes.
        flashes: the two flashes in order of time.
        noise: standard deviation of the pixel noise, in levels of 0..255.
        noise_seed: seed of the noise.
    """

    answers: Answers
    height: int
    width: int
    frames: int
    fps: int
    background: tuple[Rgb, Rgb]
    gradient: float
    mover: Mover
    tiles: tuple[Tile, Tile]
    card: Card
    lamps: tuple[Lamp, Lamp]
    dots: tuple[tuple[float, float, float], ...]
    marker: Marker
    strip: Box
    flashes: tuple[Flash, Flash]
    noise: float
    noise_seed: int


def sample_scene(settings: SceneSettings, seed: int, split: str, index: int) -> Scene:
    """Return the scene of clip `index` of a split; the same arguments give the same scene in any process.

    Raises:
        ValueError: the split is unknown, the seed negative, or there is no room for all elements.
    """
    answers = deal_answers(seed, split, index)
    truth = answers.by_family
    rng = random_stream(seed, split, 1, index)

    height, width = settings.frame_sizes[rng.integers(len(settings.frame_sizes))]
    dot_count = COUNTS.index(truth["count"]) + 1
    layout = place(settings, rng, height, width, _ends(rng, truth["path"]), truth["position"], dot_count)

    return Scene(
        answers=answers,
        height=height,
        width=width,
        frames=settings.frames,
        fps=settings.fps,
        background=(_muted(rng), _muted(rng)),
        gradient=rng.uniform(0, 2 * np.pi),
        mover=Mover(layout.mover_radius, layout.mover_start, layout.mover_velocity),
        tiles=_tiles(settings, rng, layout.tiles, truth["texture"], answers.asked_tile),
        card=Card(layout.card, _jitter(rng, COLOURS[truth["colour"]], settings.colour_jitter)),
        lamps=_lamps(settings, rng, layout.lamps, truth["blink"]),
        dots=layout.dots,
        marker=Marker(truth["shape"], *layout.marker),
        strip=layout.strip,
        flashes=_flashes(settings, rng, answers),
        noise=settings.noise,
        noise_seed=int(rng.integers(2**62)),
    )


def _ends(rng: np.random.Generator, to: str) -> tuple[str, str]:
    """Return the start of the disc's path, which is any other station, and its end."""
    others = [station for station in STATIONS if station != to]
    return others[rng.integers(len(others))], to


def _tiles(
    settings: SceneSettings, rng: np.random.Generator, boxes: tuple[Box, Box], texture: str, tile: str
) -> tuple[Tile, Tile]:
    """Return the light and the dark tile; the one that is not `tile` has a random texture."""
    other = TEXTURES[rng.integers(len(TEXTURES))]
    light, dark = (
        Tile(
            box,
            texture if name == tile else other,
            settings.texture_period,
            (settings.texture_period * rng.random(), settings.texture_period * rng.random()),
            tone,
            settings.texture_contrast,
        )
        for name, box, tone in zip(TILES, boxes, settings.tile_tones, strict=True)
    )
    return light, dark


def _lamps(
    settings: SceneSettings, rng: np.random.Generator, boxes: tuple[Box, Box], blinking: str
) -> tuple[Lamp, Lamp]:
    """Return the blinking lamp and the slow one, which has a random other colour; both have random phases."""
    others = [colour for colour in COLOURS if colour != blinking]
    colours = blinking, others[rng.integers(len(others))]
    fast, slow = (
        Lamp(box, colour, frames, int(rng.integers(2 * frames)))
        for box, colour, frames in zip(boxes, colours, (settings.lamp_frames, 2 * settings.lamp_frames), strict=True)
    )
    return fast, slow


def _flashes(settings: SceneSettings, rng: np.random.Generator, answers: Answers) -> tuple[Flash, Flash]:
    """Return two flashes of different colours, one soon after the other, at a random time.

    The flash that `order` asks about has the colour of its answer.
    """
    answer, hidden = answers.by_family["order"], answers.by_family["moment"]
    others = [colour for colour in COLOURS if colour != answer] if hidden == answer else [hidden]
    other = others[rng.integers(len(others))]
    colours = (answer, other) if answers.asked_flash == "first" else (other, answer)
    both = 2 * settings.flash_frames + settings.flash_gap
    early = int(rng.integers(settings.frames - both + 1))
    late = early + settings.flash_frames + settings.flash_gap
    first, second = (
        Flash(
            colour,
            _jitter(rng, COLOURS[colour], settings.colour_jitter),
            start,
            settings.flash_frames,
            hides_marker=colour == hidden,
        )
        for colour, start in zip(colours, (early, late), strict=True)
    )
    return first, second


def _muted(rng: np.random.Generator) -> Rgb:
    """Return a random dark greyish colour that nothing else in a scene has."""
    grey = rng.uniform(20.0, 50.0)
    red, green, blue = (grey + rng.uniform(-8.0, 8.0) for _ in range(3))
    return red, green, blue


def _jitter(rng: np.random.Generator, rgb: Rgb, amount: float) -> Rgb:
    red, green, blue = (min(max(channel + rng.uniform(-amount, amount), 0.0), 255.0) for channel in rgb)
    return red, green, blue
