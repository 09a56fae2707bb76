"""How hard ShapesInMotion is: every size, duration and amount of variation in one place.

A difficulty is a diagnosis: `texture_period` against the token size says what downsampling can see, `lamp_frames`
against the sampled frames says how far what is compared lies apart. So all of them are named here and nothing is hidden
in the drawing code. Together with the seed these settings decide the content of every clip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

SPLITS = ("train", "validation", "test", "symbols")  # the last for scenes that no clip shows


@dataclass(frozen=True)
class SceneSettings:
    """What scenes of the generated benchmark look like; lengths are pixels of the clip.

    Args:
        frame_sizes: (height, width) of the clips, even numbers; one is drawn for each clip.
        frames: frames in a file.
        fps: frames per second of a file.
        mover_radius: lowest and highest radius of the moving disc.
        dot_radius: lowest and highest radius of the counted dots.
        marker_radius: half size of the marker, the pink shape that lies in one corner of the frame.
        jitter: largest distance of elements from the middle of where they lie, along each axis.
        window: side of the windows that elements lie in; a tile fills one, other elements a quarter. With the side of a
            token here, a token never shows only a part of a tile, so its average does not give the texture away, and a
            patch shows elements whole.
        texture_period: one light and one dark stripe together. With the side of a token (2 x 2 patches), the average of
            a token's patches is the same for every texture.
        texture_contrast: what dark stripes lose of the tile's tone and light ones gain, a share of 0..1.
        tile_tones: grey levels of the light and of the dark tile, on average over any texture.
        card_size: side of the coloured card.
        lamp_size: width and height of the lamps, which are squares on a corner.
        lamp_frames: frames that the blinking lamp is lit or dark, half of those of the other lamp. With the number of
            file frames between two sampled ones, it is lit in every second sampled frame, and of any four in a row both
            lamps are lit in two.
        strip_width: thickness of the strip along one edge of the frame that flashes.
        flash_frames: frames that one flash lasts. With the number of file frames between two sampled ones, one sampled
            frame shows it; with fewer, it can fall between them.
        flash_gap: frames between the two flashes.
        colour_jitter: largest change of each channel of a colour, in levels of 0..255.
        noise: standard deviation of the pixel noise, in levels of 0..255.

    Raises:
        ValueError: a value outside its range.
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
    """Open the stream of random numbers at an address; different addresses give independent streams.

    Args:
        seed: of the clips.
        split: one of `SPLITS`; no two splits share a stream, so none share a clip.
        address: what the numbers are for: first the purpose, then the item.

    Raises:
        ValueError: a split that does not exist, or a negative seed.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r} does not exist in ShapesInMotion; choose one of {', '.join(SPLITS)}")
    if seed < 0:
        raise ValueError(f"the seed of the clips (`clips_seed`) must be at least 0; got {seed}")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(SPLITS.index(split), *address))))
