"""How a player shows a coded picture: turned and mirrored by its display matrix, and with square pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from jaxtyping import Int, UInt8

from datamodules.video.reader import VideoError

MOST_STRETCHED = 10.0  # how many times as wide as high, or as high as wide, a pixel may be
_ALMOST = 0.01  # entries of a matrix that are so small a share of the others are taken for rounding errors


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight ways to lay a picture on a screen: turned first, mirrored then.

    Attributes:
        quarter_turns: counter-clockwise, 0 to 3.
        mirrored: left and right are exchanged after that.
    """

    quarter_turns: int = 0
    mirrored: bool = False

    @classmethod
    def of(cls, frame: VideoFrame, path: Path) -> Orientation:
        """Return the orientation that a decoded frame of a file declares.

        Raises:
            VideoError: its matrix turns by another angle, or shears.
        """
        matrix: Any = frame.side_data.get("DISPLAYMATRIX")
        if matrix is None:
            return cls()
        try:
            return cls.of_matrix(np.frombuffer(bytes(matrix), dtype=np.int32).astype(np.int64))
        except ValueError as error:
            raise VideoError(path, str(error)) from error

    @classmethod
    def of_matrix(cls, matrix: Int[np.ndarray, "9"]) -> Orientation:
        """Return the orientation that a display matrix means; one of zeros means none, as in players.

        Args:
            matrix: (a, b, u, c, d, v, x, y, w) of FFmpeg's `display.h`: a point (p, q) of the coded picture is shown at
                (a p + c q + x, b p + d q + y). A scale in it is left to the pixels' aspect, which FFmpeg finds from it.

        Raises:
            ValueError: it turns by another angle than whole quarters, or shears.
        """
        a, b, c, d = (int(value) for value in matrix[[0, 1, 3, 4]])
        straight, crossed = sorted((abs(a), abs(d))), sorted((abs(b), abs(c)))
        if straight[1] == crossed[1] == 0:
            return cls()
        (least, _), (_, rest) = (straight, crossed) if straight > crossed else (crossed, straight)
        if rest > _ALMOST * least or not least:
            raise ValueError(f"its display matrix ({a} {b} {c} {d}) is neither of quarter turns nor of mirrors")
        mirrored = a * d - b * c < 0
        if abs(a) > abs(b):
            return cls(0 if (a > 0) != mirrored else 2, mirrored)
        return cls(3 if b > 0 else 1, mirrored)

    @property
    def degrees(self) -> int:
        """By how much a picture is turned, counter-clockwise."""
        return 90 * self.quarter_turns

    def __call__(
        self, picture: UInt8[np.ndarray, "height width *channels"]
    ) -> UInt8[np.ndarray, "rows columns *channels"]:
        """Return a picture as it is shown."""
        turned = np.rot90(picture, self.quarter_turns)
        return turned[:, ::-1] if self.mirrored else turned

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of a picture as it is shown."""
        return (height, width) if self.quarter_turns % 2 else (width, height)


def square_pixels(width: int, height: int, aspect: float) -> tuple[int, int]:
    """Return width and height of a picture once its pixels are square; it is stretched, never shrunk.

    Args:
        width: coded.
        height: coded.
        aspect: width of a pixel for a height of 1.
    """
    return (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))
