"""The contract of a video reader: exact frames in display orientation, or an error that names the file.

Decoders differ in what they silently get wrong (frame order, hidden frames, rotation). Everything above this file
relies on one promise instead: frame `i` is the i-th picture that a player would show.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8


class VideoError(ValueError):
    """A file that cannot be read as a video.

    Attributes:
        path: the file.
        reason: what is wrong with it, in one line.
    """

    def __init__(self, path: Path | str, reason: str = "") -> None:
        # The reason may be absent because pickle rebuilds an exception from its message alone.
        super().__init__(f"{path}: {reason}" if reason else str(path))
        self.path = path
        self.reason = reason


class DamagedVideoError(VideoError):
    """A video of which only a part can be decoded, or only with patched pictures.

    Attributes:
        decodable: how many frames can be decoded.
        expected: how many frames the file is meant to have; 0 where it does not say.
    """

    def __init__(self, path: Path | str, reason: str = "", decodable: int = 0, expected: int = 0) -> None:
        super().__init__(path, reason)
        self.decodable = decodable
        self.expected = expected


def times_from_first(times: Sequence[float | None], count: int, fps: float) -> list[float]:
    """Return times in seconds from the first; even ones at `fps` where there is none for each of `count` frames."""
    known = [time for time in times if time is not None]
    if len(known) != count:
        return [number / fps for number in range(count)]
    return [time - known[0] for time in known]


class VideoReader(ABC):
    """Random access to the frames of one file; use it as a context manager.

    Attributes:
        name: the decoder behind it.
        path: the file.
        reason: why this reader was chosen for this file.
        fps: frames per second as the header says, or else the frames' times; what the official sampler goes by.
    """

    name: str
    path: Path
    reason: str
    fps: float

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def times(self) -> Sequence[float]:
        """Return when each frame is shown, in seconds from the first one, which rates in the header do not tell.

        Raises:
            VideoError: the file turns out to be unreadable.
        """

    @abstractmethod
    def _read(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames height width 3"]:
        """Decode frames whose indices are known to exist."""

    @abstractmethod
    def close(self) -> None:
        """Give the file back; the reader cannot be used afterwards."""

    def frames(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames height width 3"]:
        """Return the frames at `indices`, in that order, RGB in display orientation.

        Args:
            indices: each in 0..len-1; they may repeat and need no order.

        Raises:
            IndexError: an index outside the clip, or no index at all.
            VideoError: the file turns out to be unreadable there.
        """
        if len(indices) == 0:
            raise IndexError(f"{self.path}: no frame indices were given")
        for index in indices:
            if not 0 <= index < len(self):
                raise IndexError(f"{self.path}: no frame {index}; it has {len(self)} frames, 0 to {len(self) - 1}")
        return self._read(indices)

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
