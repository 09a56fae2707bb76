"""How frames are brought to another size: the family `resizing`."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch.nn import functional


class Resizing(ABC):
    """Brings the frames of a clip to one size."""

    @abstractmethod
    def __call__(
        self, frames: UInt8[np.ndarray, "frames height width 3"], height: int, width: int
    ) -> UInt8[np.ndarray, "frames {height} {width} 3"]:
        """Return the frames at that size in pixels."""


class PillowBicubic(Resizing):
    """Pillow's bicubic filter, frame by frame (official)."""

    def __call__(
        self, frames: UInt8[np.ndarray, "frames height width 3"], height: int, width: int
    ) -> UInt8[np.ndarray, "frames {height} {width} 3"]:
        """Return the frames at that size."""
        size, bicubic = (width, height), Image.Resampling.BICUBIC
        return np.stack([np.asarray(Image.fromarray(frame).resize(size, bicubic)) for frame in frames])


class TorchBicubic(Resizing):
    """The same filter as torch computes it, about ten times faster: a pixel in some hundred differs, by a grey level.

    For trainings that wait for their data and need not repeat earlier ones to the last bit.
    """

    def __call__(
        self, frames: UInt8[np.ndarray, "frames height width 3"], height: int, width: int
    ) -> UInt8[np.ndarray, "frames {height} {width} 3"]:
        """Return the frames at that size."""
        pictures = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
        resized = functional.interpolate(pictures, (height, width), mode="bicubic", antialias=True)
        return resized.permute(0, 2, 3, 1).numpy()


class TorchBilinear(Resizing):
    """Bilinear without a filter against aliasing, as in the official code of Video-LLaVA.

    There it works on normalised numbers; here its result is rounded to grey levels, so that frames stay bytes: at most
    half a level apart.
    """

    def __call__(
        self, frames: UInt8[np.ndarray, "frames height width 3"], height: int, width: int
    ) -> UInt8[np.ndarray, "frames {height} {width} 3"]:
        """Return the frames at that size."""
        return _interpolated(frames, height, width, "bilinear")


class Nearest(Resizing):
    """The nearest pixel, as in the official code of Video-ChatGPT."""

    def __call__(
        self, frames: UInt8[np.ndarray, "frames height width 3"], height: int, width: int
    ) -> UInt8[np.ndarray, "frames {height} {width} 3"]:
        """Return the frames at that size."""
        return _interpolated(frames, height, width, "nearest")


def _interpolated(frames: UInt8[np.ndarray, "frames height width 3"], height: int, width: int, mode: str) -> np.ndarray:
    pictures = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
    resized = functional.interpolate(pictures, (height, width), mode=mode)
    return resized.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


PILLOW_BICUBIC = PillowBicubic()
