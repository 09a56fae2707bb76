"""Fits frames of any size to the square canvas of an encoder, in whole patches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from datamodules.video.resizing import PILLOW_BICUBIC, Resizing


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


@dataclass
class FittedClip:
    """The frames of one clip on a canvas.

    Attributes:
        frames: RGB frames including their padding.
        rectangle: (top, left, height, width) in patches of the area that the picture fills, the same in all frames.
        canvas: (rows, columns) of patches on the canvas.
    """

    frames: UInt8[Tensor, "frames 3 canvas canvas"]
    rectangle: Int64[Tensor, "4"]
    canvas: tuple[int, int]


class CanvasGeometry:
    """Resizes pictures as a `Fit` chooses and places them in the middle of a canvas, in whole units.

    A unit is the side of one token's area (`patch_size * stride` pixels). The defaults are the official geometry.

    Attributes:
        canvas: side of the canvas in pixels.
        patches: (rows, columns) of patches on the canvas.
    """

    def __init__(
        self,
        canvas: int,
        patch_size: int,
        stride: int,
        fill: tuple[int, int, int],
        resizing: Resizing = PILLOW_BICUBIC,
        fit: Fit = PAD,
    ) -> None:
        """Check the sizes.

        Args:
            canvas: side of the canvas in pixels.
            patch_size: side of a patch in pixels.
            stride: patches per token along each side.
            fill: colour of the padding, RGB in 0..255.
            resizing: method by which pictures are resized.
            fit: choice of the new size.

        Raises:
            ValueError: the canvas is not a multiple of a unit.
        """
        unit = patch_size * stride
        if canvas < unit or canvas % unit:
            raise ValueError(
                f"data.init_args.canvas is {canvas}; this encoder needs a multiple of {unit} pixels"
                f" (patches of {patch_size} pixels, {stride} x {stride} per token)"
            )
        self.canvas = canvas
        self.patches = (canvas // patch_size, canvas // patch_size)
        self.fill = fill
        self.resizing = resizing
        self.fit = fit
        self._stride = stride
        self._unit = unit
        self._units = canvas // unit

    def __call__(self, frames: UInt8[np.ndarray, "frames height width 3"]) -> FittedClip:
        """Resize and pad the frames of one clip."""
        height, width = self.fit.size(frames.shape[1], frames.shape[2], self.canvas, self._unit)
        if frames.shape[1:3] != (height, width):
            frames = self.resizing(frames, height, width)
        cut_y, cut_x = (round(max(0, side - self.canvas) / 2) for side in (height, width))
        frames = frames[:, cut_y : cut_y + self.canvas, cut_x : cut_x + self.canvas]
        height, width = frames.shape[1:3]
        rows, columns = height // self._unit, width // self._unit
        top, left = (self._units - rows) // 2, (self._units - columns) // 2
        y, x = top * self._unit, left * self._unit
        canvas = torch.empty(len(frames), 3, self.canvas, self.canvas, dtype=torch.uint8)
        if (height, width) != (self.canvas, self.canvas):
            canvas[:] = torch.tensor(self.fill, dtype=torch.uint8).view(3, 1, 1)
        canvas[:, :, y : y + height, x : x + width] = torch.from_numpy(frames).permute(0, 3, 1, 2)
        return FittedClip(canvas, torch.tensor([top, left, rows, columns]) * self._stride, self.patches)

    def valid_patches(self, height: int, width: int) -> tuple[int, int]:
        """Return (rows, columns) of patches that a picture of this size fills."""
        rows, columns = (
            min(side, self.canvas) // self._unit for side in self.fit.size(height, width, self.canvas, self._unit)
        )
        return rows * self._stride, columns * self._stride
