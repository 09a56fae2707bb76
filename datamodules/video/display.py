"""How a player shows a coded picture: rotated and mirrored by its display matrix, and with square pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from jaxtyping import Int, UInt8

from datamodules.video.reader import VideoError

MOST_STRETCHED = 10.0  # largest ratio of a pixel's width to its height, or of height to width
_ALMOST = 0.01  # matrix entries below this share of the others count as rounding errors


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight orientations of a picture on a screen: rotated first, then mirrored.

    Attributes:
        quarter_turns: number of quarter turns counter-clockwise, 0 to 3.
        mirrored: whether left and right are exchanged after the rotation.
    """

    quarter_turns: int = 0
    mirrored: bool = False

    @classmethod
    def of(cls, frame: VideoFrame, path: Path) -> Orientation:
        """Return the orientation that a decoded frame of a file declares.

        Raises:
            VideoError: the display matrix rotates by another angle than quarter turns, or shears.
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
        """Return the orientation of a display matrix; a matrix of zeros means no change, as in players.

        Args:
            matrix: (a, b, u, c, d, v, x, y, w) of FFmpeg's `display.h`: a point (p, q) of the coded picture is shown at
                (a p + c q + x, b p + d q + y). Its scale is ignored, since FFmpeg puts it into the pixel aspect ratio.

        Raises:
            ValueError: the matrix rotates by another angle than quarter turns, or shears.
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
        """Rotation in degrees, counter-clockwise."""
        return 90 * self.quarter_turns

    def __call__(
        self, picture: UInt8[np.ndarray, "height width *channels"]
    ) -> UInt8[np.ndarray, "rows columns *channels"]:
        """Return the picture in this orientation."""
        turned = np.rot90(picture, self.quarter_turns)
        return turned[:, ::-1] if self.mirrored else turned

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) of a picture in this orientation."""
        return (height, width) if self.quarter_turns % 2 else (width, height)


def square_pixels(width: int, height: int, aspect: float) -> tuple[int, int]:
    """Return the (width, height) of a picture with square pixels; it is stretched, never shrunk.

    Args:
        width: coded width in pixels.
        height: coded height in pixels.
        aspect: width of a pixel relative to its height.
    """
    return (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))
