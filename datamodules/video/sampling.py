"""Which frames of a clip a model gets to see: the family `sampler`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from components.positive import check_positive

_ROUNDING = 1e-6  # seconds


def spread(count: int, wanted: int) -> list[int]:
    """Return `wanted` positions from the first to the last of `count`, evenly apart, cut to integers."""
    return [int(position) for position in np.linspace(0, count - 1, wanted, dtype=int)]


class FrameSampler(ABC):
    """Chooses frame indices from what is known of a clip."""

    def indices(self, count: int, fps: int | float, times: Callable[[], Sequence[float]] | None = None) -> list[int]:
        """Return frame indices in 0..count-1 that never decrease; but for samplers that say so, each at most once.

        Args:
            count: frames of the clip.
            fps: its frames per second as its header says.
            times: returns when each frame is shown, in seconds from the first; asked for by samplers that go by time.
                None stands for even times at `fps`.

        Raises:
            ValueError: no frames, or a frame rate that is not a positive number.
        """
        if count < 1:
            raise ValueError(f"a clip with {count} frames has none to choose from")
        if not (math.isfinite(fps) and fps > 0):
            raise ValueError(f"the frame rate {fps} is not a positive number")
        return self._choose(count, fps, times or (lambda: [number / fps for number in range(count)]))

    @abstractmethod
    def _choose(self, count: int, fps: int | float, times: Callable[[], Sequence[float]]) -> list[int]:
        """Choose from checked values."""


class OfficialSampler(FrameSampler):
    """The official rule: one frame per second, thinned out evenly if too many, taken closer together if too few.

    Seconds are what the header's frame rate makes of frame numbers, as in the official code: where times are uneven, or
    are not what the header says, it does not go by them.

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

    def _choose(self, count: int, fps: int | float, times: Callable[[], Sequence[float]]) -> list[int]:
        each_second: Sequence[int] = range(0, count, max(1, round(fps)))
        if len(each_second) > self.frames:
            return [each_second[position] for position in spread(len(each_second), self.frames)]
        if len(each_second) < self.frames:
            return list(range(0, count, max(1, (count - 1) // (self.frames - 1))))[: self.frames]
        return list(each_second)


class UniformSampler(FrameSampler):
    """Frames evenly spread in number from the first to the last; a shorter clip gives each of its frames once.

    Where a clip's times are uneven, they are not evenly spread in time: `check-data` names such clips.
    """

    def __init__(self, frames: int = 8) -> None:
        """Keep the number of frames.

        Args:
            frames: how many frames at most.
        """
        _check_positive("frames", frames)
        self.frames = frames

    def _choose(self, count: int, fps: int | float, times: Callable[[], Sequence[float]]) -> list[int]:
        return spread(count, min(self.frames, count))


class VideoLLaVASampler(FrameSampler):
    """The rule of the official code of Video-LLaVA: evenly spread from the first frame to the last, always so many.

    A clip with fewer frames gives some of them several times.
    """

    def __init__(self, frames: int = 8) -> None:
        """Keep the number of frames.

        Args:
            frames: how many frames.
        """
        _check_positive("frames", frames)
        self.frames = frames

    def _choose(self, count: int, fps: int | float, times: Callable[[], Sequence[float]]) -> list[int]:
        return spread(count, self.frames)


class VideoChatGPTSampler(FrameSampler):
    """The rule of the official code of Video-ChatGPT: the middle frames of equal segments of the clip.

    A clip with fewer frames is cut into as many segments as it has frames; as the last segment ends with the last
    frame, that one is never taken (but of a clip of one frame), and another one twice.
    """

    def __init__(self, frames: int = 100) -> None:
        """Keep the number of segments.

        Args:
            frames: how many frames at most.
        """
        _check_positive("frames", frames)
        self.frames = frames

    def _choose(self, count: int, fps: int | float, times: Callable[[], Sequence[float]]) -> list[int]:
        segments = min(self.frames, count)
        # NumPy rounds halves to the even number, as the official code does.
        ends = np.round((count - 1) / segments * np.arange(segments + 1)).astype(int)
        return [int(middle) for middle in (ends[:-1] + ends[1:]) // 2]


class FpsSampler(FrameSampler):
    """The frames on screen at moments evenly apart in time, thinned out evenly when there are too many.

    It goes by the times of the frames: a clip whose rate changes, or is not that of its header, is sampled as it plays.
    """

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

    def _choose(self, count: int, fps: int | float, times: Callable[[], Sequence[float]]) -> list[int]:
        shown = np.asarray(times())
        # The last frame is shown as long as the others are on average.
        end = shown[-1] * count / (count - 1) if count > 1 else 1 / self.fps
        moments = np.arange(max(1, math.ceil(end * self.fps - _ROUNDING))) / self.fps
        on_screen = np.searchsorted(shown, moments + _ROUNDING, side="right") - 1
        at_rate = [int(index) for index in np.unique(on_screen)]
        return [at_rate[position] for position in spread(len(at_rate), min(self.max_frames, len(at_rate)))]


def _check_positive(name: str, value: int | float) -> None:
    check_positive("data.init_args.sampler.init_args", **{name: value})
