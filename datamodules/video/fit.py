"""How a picture of any shape comes onto a square canvas: the family `fit`."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Fit(ABC):
    """Chooses the size that a picture is brought to; what then exceeds the canvas is cut off on both sides."""

    @abstractmethod
    def size(self, height: int, width: int, canvas: int, unit: int) -> tuple[int, int]:
        """Return (height, width) in pixels: whole units along a side, or at least the canvas.

        Args:
            height: of the picture, in pixels.
            width: of the picture, in pixels.
            canvas: side of the canvas in pixels.
            unit: side in pixels of what becomes one token.
        """


class Pad(Fit):
    """The whole picture: its longer side is the canvas's, the rest of the canvas is filled (official).

    The shorter side is rounded up to whole units and the picture stretched to it, so that a valid area never ends
    within a token: the aspect ratio is kept to a unit only.
    """

    def size(self, height: int, width: int, canvas: int, unit: int) -> tuple[int, int]:
        """Return the canvas's side for the longer side, and whole units, at least one, for the shorter."""
        units, longer = canvas // unit, max(height, width)
        return -(-units * height // longer) * unit, -(-units * width // longer) * unit


class Stretch(Fit):
    """The whole picture, stretched to a square (official code of Video-ChatGPT): its aspect ratio is lost."""

    def size(self, height: int, width: int, canvas: int, unit: int) -> tuple[int, int]:
        """Return the canvas's side twice."""
        return canvas, canvas


class CentreCrop(Fit):
    """The square in the middle of the picture (official code of Video-LLaVA): what is beside it is lost."""

    def size(self, height: int, width: int, canvas: int, unit: int) -> tuple[int, int]:
        """Return the canvas's side for the shorter side, and the longer one in proportion, rounded down."""
        shorter = min(height, width)
        return canvas * height // shorter, canvas * width // shorter


PAD = Pad()
