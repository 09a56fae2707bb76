"""Methods of resizing frames: the family `resizing`."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch.nn import functional


class Resizing(ABC):
    """Resizes the frames of a clip."""

    @abstractmethod
    def __call__(
        self, frames: UInt8[np.ndarray, "frames height width 3"], height: int, width: int
    ) -> UInt8[np.ndarray, "frames {height} {width} 3"]:
        """Return the frames resized to `height` x `width` pixels."""


class PillowBicubic(Resizing):
    """Pillow's bicubic filter, frame by frame (official)."""

    def __call__(
        self, frames: UInt8[np.ndarray, "frames height width 3"], height: int, width: int
    ) -> UInt8[np.ndarray, "frames {height} {width} 3"]:
        """Return the resized frames."""
        size, bicubic = (width, height), Image.Resampling.BICUBIC
        return np.stack([np.asarray(Image.fromarray(frame).resize(size, bicubic)) for frame in frames])


class TorchBicubic(Resizing):
    """Torch's version of the same filter, about ten times faster; about one pixel in a hundred differs by a grey level.

    It suits trainings that wait for their data and need not reproduce earlier ones bit by bit.
    """

    def __call__(
        self, frames: UInt8[np.ndarray, "frames height width 3"], height: int, width: int
    ) -> UInt8[np.ndarray, "frames {height} {width} 3"]:
        """Return the resized frames."""
        pictures = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
        resized = functional.interpolate(pictures, (height, width), mode="bicubic", antialias=True)
        return resized.permute(0, 2, 3, 1).numpy()


class TorchBilinear(Resizing):
    """Bilinear interpolation without antialiasing, as in the official code of Video-LLaVA.

    The official code interpolates normalised numbers; here the result is rounded to bytes, so it differs by at most
    half a grey level.
    """

    def __call__(
        self, frames: UInt8[np.ndarray, "frames height width 3"], height: int, width: int
    ) -> UInt8[np.ndarray, "frames {height} {width} 3"]:
        """Return the resized frames."""
        return _interpolated(frames, height, width, "bilinear")


class Nearest(Resizing):
    """Nearest-neighbour interpolation, as in the official code of Video-ChatGPT."""

    def __call__(
        self, frames: UInt8[np.ndarray, "frames height width 3"], height: int, width: int
    ) -> UInt8[np.ndarray, "frames {height} {width} 3"]:
        """Return the resized frames."""
        return _interpolated(frames, height, width, "nearest")


def _interpolated(frames: UInt8[np.ndarray, "frames height width 3"], height: int, width: int, mode: str) -> np.ndarray:
    pictures = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
    resized = functional.interpolate(pictures, (height, width), mode=mode)
    return resized.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


PILLOW_BICUBIC = PillowBicubic()
