"""The difficulty of ShapesInMotion: every size, duration and amount of variation in one place.

Each setting tests something: `texture_period` relative to the token size tests what downsampling can see, and
`lamp_frames` relative to the sampled frames tests over how many frames an encoder can compare. Together with the seed,
these settings decide the content of every clip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

SPLITS = ("train", "validation", "test", "symbols")  # the last is for scenes that are never rendered


@dataclass(frozen=True)
class SceneSettings:
    """The appearance of the scenes of the generated benchmark; lengths are in pixels of the clip.

    Args:
        frame_sizes: possible (height, width) of the clips, even numbers; one is drawn for each clip.
        frames: number of frames in a clip.
        fps: frames per second of a clip.
        mover_radius: lowest and highest radius of the moving disc.
        dot_radius: lowest and highest radius of the counted dots.
        marker_radius: half of the size of the marker, the pink shape in one corner of the frame.
        jitter: largest distance of elements from the middle of their window or cell, along each axis.
        window: side of the windows in which elements are placed; a tile fills a window, other elements a quarter of
            one. If this is the side of a token, no token shows only a part of a tile, so that its average does not give
            away the texture, and elements are never split between patches.
        texture_period: width of one light and one dark stripe together. If this is the side of a token (2 x 2 patches),
            the average of a token's patches is the same for every texture.
        texture_contrast: share of the tile's tone, 0..1, by which light stripes are lighter and dark ones darker.
        tile_tones: grey levels 0..255 of the light and of the dark tile, averaged over any texture.
        card_size: side of the coloured card.
        lamp_size: width and height of the lamps, which are squares standing on a corner.
        lamp_frames: number of frames for which the blinking lamp is lit or dark; twice as many for the other lamp. If
            this is the distance of sampled frames, the lamp is lit in every second sampled frame, and in any four
            consecutive sampled frames both lamps are lit twice.
        strip_width: thickness of the flashing strip along one edge of the frame.
        flash_frames: number of frames of one flash. If this is the distance of sampled frames, exactly one sampled
            frame shows the flash; a shorter flash can be missed.
        flash_gap: number of frames between the two flashes.
        colour_jitter: largest random change of each channel of a colour, in levels of 0..255.
        noise: standard deviation of the pixel noise, in levels of 0..255.

    Raises:
        ValueError: a value is outside its range.
    """

    frame_sizes: tuple[tuple[int, int], ...] = ((72, 72), (48, 72), (72, 48))
    frames: int = 15
    fps: int = 8
    mover_radius: tuple[float, float] = (4.0, 4.3)
    dot_radius: tuple[float, float] = (3.7, 3.9)
    marker_radius: float = 6.5
    jitter: float = 1.0
    window: int = 24
    texture_period: int = 24
    texture_contrast: float = 0.6
    tile_tones: tuple[float, float] = (120.0, 75.0)
    card_size: int = 10
    lamp_size: int = 12
    lamp_frames: int = 2
    strip_width: int = 8
    flash_frames: int = 2
    flash_gap: int = 2
    colour_jitter: float = 12.0
    noise: float = 4.0

    def __post_init__(self) -> None:
        for name in (
            "fps",
            "window",
            "card_size",
            "lamp_size",
            "lamp_frames",
            "strip_width",
            "flash_frames",
            "flash_gap",
        ):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        self._require("frames", self.frames >= 3, "at least 3: two flashes and a gap")
        room = (self.frames - self.flash_gap) // 2
        self._require(
            "flash_frames", self.flash_frames <= room, f"at most {room}: two flashes and a gap fit in `frames`"
        )
        self._require("texture_period", self.texture_period >= 2, "at least 2: one light and one dark pixel")
        self._require("marker_radius", 2 <= self.marker_radius < math.inf, "at least 2, and finite")
        self._require("jitter", 0 <= self.jitter < math.inf, "at least 0, and finite")
        self._require("noise", 0 <= self.noise <= 64, "within 0..64")
        self._require("colour_jitter", 0 <= self.colour_jitter <= 40, "within 0..40, or colours are no longer distinct")
        light, dark = self.tile_tones
        self._require("tile_tones", 0 <= dark < light <= 255, "within 0..255, the light one first")
        self._require("texture_contrast", 0 <= self.texture_contrast <= 1, "within 0..1")
        for name in ("mover_radius", "dot_radius"):
            low, high = getattr(self, name)
            self._require(name, 0 < low <= high < math.inf, "a positive lowest value and a finite highest not below it")
        usable = all(side >= 16 and side % 2 == 0 for size in self.frame_sizes for side in size)
        self._require("frame_sizes", len(self.frame_sizes) >= 1 and usable, "even heights and widths of at least 16")

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            raise ValueError(f"`scene.{name}` must be {allowed}; got {getattr(self, name)}")


def random_stream(seed: int, split: str, *address: int) -> np.random.Generator:
    """Return the random number generator of an address; different addresses give independent generators.

    Args:
        seed: seed of the clips.
        split: one of `SPLITS`; splits share no generator, and so no clip.
        address: purpose of the numbers, followed by the item.

    Raises:
        ValueError: the split does not exist, or the seed is negative.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r} does not exist in ShapesInMotion; choose one of {', '.join(SPLITS)}")
    if seed < 0:
        raise ValueError(f"the seed of the clips (`clips_seed`) must be at least 0; got {seed}")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(SPLITS.index(split), *address))))
