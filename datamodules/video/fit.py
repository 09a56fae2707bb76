"""How a picture of any shape is fitted to a square canvas: the family `fit`."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Fit(ABC):
    """Chooses the size to which a picture is resized; what then exceeds the canvas is cut off on both sides."""

    @abstractmethod
    def size(self, height: int, width: int, canvas: int, unit: int) -> tuple[int, int]:
        """Return the new (height, width) in pixels; each is a multiple of the unit, or at least the canvas.

        Args:
            height: height of the picture in pixels.
            width: width of the picture in pixels.
            canvas: side of the canvas in pixels.
            unit: side in pixels of the area of one token.
        """


class Pad(Fit):
    """Shows the whole picture: its longer side fills the canvas, and the rest of the canvas is padded (official).

    The shorter side is rounded up to whole units and the picture stretched to it, so that the valid area never ends
    within a token; the aspect ratio is kept up to one unit.
    """

    def size(self, height: int, width: int, canvas: int, unit: int) -> tuple[int, int]:
        """Return the side of the canvas for the longer side, and whole units, at least one, for the shorter."""
        units, longer = canvas // unit, max(height, width)
        return -(-units * height // longer) * unit, -(-units * width // longer) * unit


class Stretch(Fit):
    """Stretches the whole picture to a square and loses its aspect ratio (official code of Video-ChatGPT)."""

    def size(self, height: int, width: int, canvas: int, unit: int) -> tuple[int, int]:
        """Return the side of the canvas twice."""
        return canvas, canvas


class CentreCrop(Fit):
    """Crops the square in the middle of the picture (official code of Video-LLaVA)."""

    def size(self, height: int, width: int, canvas: int, unit: int) -> tuple[int, int]:
        """Return the side of the canvas for the shorter side, and the longer one in proportion, rounded down."""
        shorter = min(height, width)
        return canvas * height // shorter, canvas * width // shorter


PAD = Pad()
