"""How hard ShapesInMotion is: every size, speed and amount of variation in one place.

A difficulty is a diagnosis: `texture_period` against the token size says what downsampling can see, speed against the
patch size says whether one frame or several are needed. So all of them are named here and nothing is hidden in the
drawing code. Together with the seed these settings decide the content of every clip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class SceneSettings:
    """What scenes of the generated benchmark look like; lengths are pixels of the clip.

    Args:
        frame_sizes: (height, width) of the clips, even numbers; one is drawn for each clip.
        frames: frames in a file.
        fps: frames per second of a file.
        slow: lowest and highest speed of a slow mover, pixels per frame of the file.
        fast: the same for a fast mover.
        mover_radius: lowest and highest radius of the moving disc.
        dot_radius: lowest and highest radius of the counted dots.
        marker_radius: half size of the marker, the pink shape that lies in one corner of the frame.
        path_jitter: largest distance of the middle of the mover's path from the middle of the frame, along each axis.
        tile_size: side of the textured tile.
        tile_grid: the tile's corners lie on multiples of this, and the marker in a corner of the frame of this size.
            With the side of a token here, and `tile_size` a multiple of it, a token never shows only a part of the
            tile, so its average does not give the texture away.
        texture_period: one light and one dark stripe together. With the side of a token (2 x 2 patches), the average of
            a token's patches is the same for every texture.
        texture_contrast: what dark stripes lose of the tile's tone and light ones gain, a share of 0..1.
        tile_tone: grey level of the tile, on average over any texture.
        card_size: side of the coloured card.
        strip_width: thickness of the strip along one edge of the frame that flashes.
        flash_frames: frames that one flash lasts. At least the number of file frames between two sampled ones, or a
            flash can fall between them.
        colour_jitter: largest change of each channel of a colour, in levels of 0..255.
        noise: standard deviation of the pixel noise, in levels of 0..255.

    Raises:
        ValueError: a value outside its range.
    """

    frame_sizes: tuple[tuple[int, int], ...] = ((72, 72), (48, 72), (72, 48))
    frames: int = 15
    fps: int = 8
    slow: tuple[float, float] = (0.9, 1.0)
    fast: tuple[float, float] = (2.2, 2.4)
    mover_radius: tuple[float, float] = (4.0, 4.3)
    dot_radius: tuple[float, float] = (3.9, 4.1)
    marker_radius: float = 6.5
    path_jitter: float = 2.0
    tile_size: int = 24
    tile_grid: int = 24
    texture_period: int = 24
    texture_contrast: float = 0.6
    tile_tone: float = 125.0
    card_size: int = 10
    strip_width: int = 5
    flash_frames: int = 3
    colour_jitter: float = 12.0
    noise: float = 4.0

    def __post_init__(self) -> None:
        for name in ("fps", "tile_size", "tile_grid", "card_size", "strip_width", "flash_frames"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        self._require("frames", self.frames >= 3, "at least 3: two flashes and a gap")
        room = (self.frames - 1) // 2
        self._require(
            "flash_frames", self.flash_frames <= room, f"at most {room}: two flashes and a gap fit in `frames`"
        )
        self._require("texture_period", self.texture_period >= 2, "at least 2: one light and one dark pixel")
        self._require("marker_radius", 2 <= self.marker_radius < math.inf, "at least 2, and finite")
        self._require("path_jitter", 0 < self.path_jitter < math.inf, "above 0, and finite")
        self._require("noise", 0 <= self.noise <= 64, "within 0..64")
        self._require("colour_jitter", 0 <= self.colour_jitter <= 40, "within 0..40, or colours are no longer distinct")
        self._require("tile_tone", 0 <= self.tile_tone <= 255, "within 0..255")
        self._require("texture_contrast", 0 <= self.texture_contrast <= 1, "within 0..1")
        for name in ("slow", "fast", "mover_radius", "dot_radius"):
            low, high = getattr(self, name)
            self._require(name, 0 < low <= high < math.inf, "a positive lowest value and a finite highest not below it")
        self._require("slow", self.slow[1] < self.fast[0], f"below the lowest fast speed, {self.fast[0]}")
        usable = all(side >= 16 and side % 2 == 0 for size in self.frame_sizes for side in size)
        self._require("frame_sizes", len(self.frame_sizes) >= 1 and usable, "even heights and widths of at least 16")

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            raise ValueError(f"`scene.{name}` must be {allowed}; got {getattr(self, name)}")
