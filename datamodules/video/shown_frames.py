"""What the model gets to see of a clip: the clip, or a control that shows how much the answer owes to it."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod

import torch
from jaxtyping import UInt8
from torch import Tensor


def _generator(key: str) -> torch.Generator:
    """Return a generator that depends on the sample only, so that every epoch and worker shows the same."""
    return torch.Generator().manual_seed(zlib.crc32(key.encode()))


class ShownFrames(ABC):
    """The family `shown_frames`: what becomes of the frames before the model sees them."""

    @abstractmethod
    def __call__(
        self, frames: UInt8[Tensor, "frames 3 height width"], key: str
    ) -> UInt8[Tensor, "frames 3 height width"]:
        """Return the frames to show; `key` names the sample."""


class TrueFrames(ShownFrames):
    """The clip as it is."""

    def __call__(
        self, frames: UInt8[Tensor, "frames 3 height width"], key: str
    ) -> UInt8[Tensor, "frames 3 height width"]:
        """Return `frames`."""
        return frames


class NoiseFrames(ShownFrames):
    """Blind control: noise instead of the clip. What a model then gets right, it got from the questions."""

    def __call__(
        self, frames: UInt8[Tensor, "frames 3 height width"], key: str
    ) -> UInt8[Tensor, "frames 3 height width"]:
        """Return uniform noise of the same shape."""
        return torch.randint(0, 256, frames.shape, dtype=torch.uint8, generator=_generator(key))


class BlackFrames(ShownFrames):
    """Blind control without noise: black instead of the clip, as many frames of it."""

    def __call__(
        self, frames: UInt8[Tensor, "frames 3 height width"], key: str
    ) -> UInt8[Tensor, "frames 3 height width"]:
        """Return black of the same shape."""
        return torch.zeros_like(frames)


class OneFrame(ShownFrames):
    """Still control: the middle frame in place of every frame. What is then lost, came from what changes.

    The number of frames stays, so that any encoder takes it; a clip of one frame is another sampler's matter.
    """

    def __call__(
        self, frames: UInt8[Tensor, "frames 3 height width"], key: str
    ) -> UInt8[Tensor, "frames 3 height width"]:
        """Return the middle frame as often as there are frames."""
        middle = len(frames) // 2
        return frames[middle : middle + 1].expand_as(frames)


class ShuffledFrames(ShownFrames):
    """Order control: the frames of the clip in a random order. What is then lost, came from their order."""

    def __call__(
        self, frames: UInt8[Tensor, "frames 3 height width"], key: str
    ) -> UInt8[Tensor, "frames 3 height width"]:
        """Return the frames in an order that depends on `key`."""
        return frames[torch.randperm(len(frames), generator=_generator(key))]
