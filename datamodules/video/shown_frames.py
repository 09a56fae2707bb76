"""What the model sees of a clip: the clip, or a control that measures how much the answers depend on it."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod

import torch
from jaxtyping import UInt8
from torch import Tensor


def _generator(key: str) -> torch.Generator:
    """Return a generator that depends only on the sample, so that all epochs and workers show the same frames."""
    return torch.Generator().manual_seed(zlib.crc32(key.encode()))


class ShownFrames(ABC):
    """The family `shown_frames`: changes of the frames before the model sees them."""

    @abstractmethod
    def __call__(
        self, frames: UInt8[Tensor, "frames 3 height width"], key: str
    ) -> UInt8[Tensor, "frames 3 height width"]:
        """Return the frames to show.

        Args:
            frames: frames of the clip.
            key: name of the sample; random controls depend on nothing else.
        """


class TrueFrames(ShownFrames):
    """Shows the clip unchanged."""

    def __call__(
        self, frames: UInt8[Tensor, "frames 3 height width"], key: str
    ) -> UInt8[Tensor, "frames 3 height width"]:
        """Return `frames`."""
        return frames


class NoiseFrames(ShownFrames):
    """Blind control: noise instead of the clip. A model can then answer from the questions only."""

    def __call__(
        self, frames: UInt8[Tensor, "frames 3 height width"], key: str
    ) -> UInt8[Tensor, "frames 3 height width"]:
        """Return uniform noise of the same shape."""
        return torch.randint(0, 256, frames.shape, dtype=torch.uint8, generator=_generator(key))


class BlackFrames(ShownFrames):
    """Blind control without noise: the same number of black frames instead of the clip."""

    def __call__(
        self, frames: UInt8[Tensor, "frames 3 height width"], key: str
    ) -> UInt8[Tensor, "frames 3 height width"]:
        """Return black frames of the same shape."""
        return torch.zeros_like(frames)


class OneFrame(ShownFrames):
    """Still control: the middle frame in place of every frame. Accuracy lost by this came from motion.

    The number of frames is kept, so that it works with any encoder; for a clip of a single frame use a sampler.
    """

    def __call__(
        self, frames: UInt8[Tensor, "frames 3 height width"], key: str
    ) -> UInt8[Tensor, "frames 3 height width"]:
        """Return the middle frame, repeated for every frame."""
        middle = len(frames) // 2
        return frames[middle : middle + 1].expand_as(frames)


class ShuffledFrames(ShownFrames):
    """Order control: the frames of the clip in random order. Accuracy lost by this came from their order."""

    def __call__(
        self, frames: UInt8[Tensor, "frames 3 height width"], key: str
    ) -> UInt8[Tensor, "frames 3 height width"]:
        """Return the frames in a random order that depends on `key`."""
        return frames[torch.randperm(len(frames), generator=_generator(key))]
