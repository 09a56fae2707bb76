"""Choosing the frames of a clip that a model sees: the family `sampler`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from components.positive import check_positive

_ROUNDING = 1e-6  # seconds


def spread(count: int, wanted: int) -> list[int]:
    """Return `wanted` evenly spaced positions from the first to the last of `count`, rounded down to integers."""
    return [int(position) for position in np.linspace(0, count - 1, wanted, dtype=int)]


class FrameSampler(ABC):
    """Chooses frame indices from the number, rate and times of the frames of a clip."""

    def indices(self, count: int, fps: int | float, times: Callable[[], Sequence[float]] | None = None) -> list[int]:
        """Return frame indices in 0..count-1 in ascending order, each at most once unless the sampler says otherwise.

        Args:
            count: number of frames in the clip.
            fps: frames per second from the header.
            times: function that returns when each frame is shown, in seconds from the first; only samplers that choose
                by time call it. None means even steps at `fps`.

        Raises:
            ValueError: the clip has no frames, or the frame rate is not a positive number.
        """
        if count < 1:
            raise ValueError(f"a clip with {count} frames has none to choose from")
        if not (math.isfinite(fps) and fps > 0):
            raise ValueError(f"the frame rate {fps} is not a positive number")
        return self._choose(count, fps, times or (lambda: [number / fps for number in range(count)]))

    @abstractmethod
    def _choose(self, count: int, fps: int | float, times: Callable[[], Sequence[float]]) -> list[int]:
        """Choose frame indices from checked values."""


class OfficialSampler(FrameSampler):
    """Official rule: one frame per second, thinned out evenly if these are too many, more closely spaced if too few.

    As in the official code, seconds are computed from frame numbers and the frame rate in the header, even if the real
    frame times are uneven or differ from the header.

    A clip with fewer than `frames` frames gives all of them; the official code then appends black frames that are
    masked out, this class does not. Two cases in which the official code fails work here: a clip of one frame gives
    that frame (ZeroDivisionError there), and below 0.5 frames per second every frame is a candidate (stride 0 there).
    """

    def __init__(self, frames: int = 8) -> None:
        """Check the number of frames.

        Args:
            frames: maximum number of frames per clip. For short clips the official code always uses 8; here it is this
                number too.
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
    """Evenly spaced frame numbers from the first frame to the last; a shorter clip gives each of its frames once.

    In a clip with a variable frame rate they are not evenly spaced in time; `check-data` names such clips.
    """

    def __init__(self, frames: int = 8) -> None:
        """Check the number of frames.

        Args:
            frames: maximum number of frames per clip.
        """
        _check_positive("frames", frames)
        self.frames = frames

    def _choose(self, count: int, fps: int | float, times: Callable[[], Sequence[float]]) -> list[int]:
        return spread(count, min(self.frames, count))


class VideoLLaVASampler(FrameSampler):
    """Rule of the official code of Video-LLaVA: evenly spaced from the first frame to the last, always `frames` frames.

    A clip with fewer frames gives some of them several times.
    """

    def __init__(self, frames: int = 8) -> None:
        """Check the number of frames.

        Args:
            frames: number of frames per clip.
        """
        _check_positive("frames", frames)
        self.frames = frames

    def _choose(self, count: int, fps: int | float, times: Callable[[], Sequence[float]]) -> list[int]:
        return spread(count, self.frames)


class VideoChatGPTSampler(FrameSampler):
    """Rule of the official code of Video-ChatGPT: the middle frames of equal segments of the clip.

    A clip with fewer than `frames` frames is cut into as many segments as it has frames; since the last segment ends
    with the last frame, that frame is never taken and another one twice (except in a clip of one frame).
    """

    def __init__(self, frames: int = 100) -> None:
        """Check the number of segments.

        Args:
            frames: maximum number of frames per clip, one from each segment.
        """
        _check_positive("frames", frames)
        self.frames = frames

    def _choose(self, count: int, fps: int | float, times: Callable[[], Sequence[float]]) -> list[int]:
        segments = min(self.frames, count)
        # NumPy rounds halves to the even number, as in the official code.
        ends = np.round((count - 1) / segments * np.arange(segments + 1)).astype(int)
        return [int(middle) for middle in (ends[:-1] + ends[1:]) // 2]


class FpsSampler(FrameSampler):
    """The frames on screen at evenly spaced moments, thinned out evenly if there are too many.

    It uses the real frame times, also for a clip with a variable frame rate or a wrong rate in its header.
    """

    def __init__(self, fps: float = 1.0, max_frames: int = 8) -> None:
        """Check the rate and the number of frames.

        Args:
            fps: frames taken per second of the clip; all frames if the clip has fewer per second.
            max_frames: maximum number of frames per clip.
        """
        _check_positive("fps", fps)
        _check_positive("max_frames", max_frames)
        self.fps = fps
        self.max_frames = max_frames

    def _choose(self, count: int, fps: int | float, times: Callable[[], Sequence[float]]) -> list[int]:
        shown = np.asarray(times())
        # The last frame is assumed to be shown as long as the others on average.
        end = shown[-1] * count / (count - 1) if count > 1 else 1 / self.fps
        moments = np.arange(max(1, math.ceil(end * self.fps - _ROUNDING))) / self.fps
        on_screen = np.searchsorted(shown, moments + _ROUNDING, side="right") - 1
        at_rate = [int(index) for index in np.unique(on_screen)]
        return [at_rate[position] for position in spread(len(at_rate), min(self.max_frames, len(at_rate)))]


def _check_positive(name: str, value: int | float) -> None:
    check_positive("data.init_args.sampler.init_args", **{name: value})
