"""Which frames of a clip a model gets to see: the family `sampler`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from components.positive import check_positive


def spread(count: int, wanted: int) -> list[int]:
    """Return `wanted` positions from the first to the last of `count`, evenly apart, cut to integers."""
    return [int(position) for position in np.linspace(0, count - 1, wanted, dtype=int)]


class FrameSampler(ABC):
    """Chooses frame indices from what is known of a clip."""

    def indices(self, count: int, fps: int | float) -> list[int]:
        """Return increasing frame indices in 0..count-1, each at most once.

        Args:
            count: frames of the clip.
            fps: its average frames per second.

        Raises:
            ValueError: no frames, or a frame rate that is not a positive number.
        """
        if count < 1:
            raise ValueError(f"a clip with {count} frames has none to choose from")
        if not (math.isfinite(fps) and fps > 0):
            raise ValueError(f"the frame rate {fps} is not a positive number")
        return self._choose(count, fps)

    @abstractmethod
    def _choose(self, count: int, fps: int | float) -> list[int]:
        """Choose from checked values."""


class OfficialSampler(FrameSampler):
    """The official rule: one frame per second, thinned out evenly if too many, taken closer together if too few.

    A clip with fewer than `frames` frames gives all of them; the official code then appends black frames that are
    masked out, this one does not. Two official failures have an answer here: a clip of one frame gives that frame
    (ZeroDivisionError there), and below 0.5 frames per second every frame is a candidate (stride 0 there).
    """

    def __init__(self, frames: int = 8) -> None:
        """Keep the number of frames.

        Args:
            frames: how many frames at most. The official code falls back to 8 for short clips whatever it is set to;
                here it is this number.
        """
        _check_positive("frames", frames)
        self.frames = frames

    def _choose(self, count: int, fps: int | float) -> list[int]:
        each_second: Sequence[int] = range(0, count, max(1, round(fps)))
        if len(each_second) > self.frames:
            return [each_second[position] for position in spread(len(each_second), self.frames)]
        if len(each_second) < self.frames:
            return list(range(0, count, max(1, (count - 1) // (self.frames - 1))))[: self.frames]
        return list(each_second)


class UniformSampler(FrameSampler):
    """Frames evenly spread from the first to the last; a shorter clip gives each of its frames once."""

    def __init__(self, frames: int = 8) -> None:
        """Keep the number of frames.

        Args:
            frames: how many frames at most.
        """
        _check_positive("frames", frames)
        self.frames = frames

    def _choose(self, count: int, fps: int | float) -> list[int]:
        return spread(count, min(self.frames, count))


class FpsSampler(FrameSampler):
    """Frames at a fixed rate in time, thinned out evenly when there are too many."""

    def __init__(self, fps: float = 1.0, max_frames: int = 8) -> None:
        """Keep the rate.

        Args:
            fps: frames taken per second of the clip; every frame if the clip has fewer per second.
            max_frames: how many frames at most.
        """
        _check_positive("fps", fps)
        _check_positive("max_frames", max_frames)
        self.fps = fps
        self.max_frames = max_frames

    def _choose(self, count: int, fps: int | float) -> list[int]:
        step = max(1.0, fps / self.fps)
        at_rate = [int(number * step) for number in range(math.ceil(count / step))]
        # Rounding may carry the last one past the end.
        at_rate = [index for index in at_rate if index < count]
        return [at_rate[position] for position in spread(len(at_rate), min(self.max_frames, len(at_rate)))]


def _check_positive(name: str, value: int | float) -> None:
    check_positive("data.init_args.sampler.init_args", **{name: value})
