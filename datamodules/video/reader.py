"""The interface of a video reader: exact frames in display orientation, or an error that names the file.

Decoders silently get different things wrong (frame order, hidden frames, rotation). All other code relies on one
promise instead: frame `i` is the i-th picture that a player would show.
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
        path: path of the file.
        reason: what is wrong with the file, in one line.
    """

    def __init__(self, path: Path | str, reason: str = "") -> None:
        # The reason may be absent because pickle rebuilds an exception from its message alone.
        super().__init__(f"{path}: {reason}" if reason else str(path))
        self.path = path
        self.reason = reason


class DamagedVideoError(VideoError):
    """A video that can be decoded only in part, or only with patched pictures.

    Attributes:
        decodable: number of frames that can be decoded.
        expected: number of frames that the file should have; 0 if unknown.
    """

    def __init__(self, path: Path | str, reason: str = "", decodable: int = 0, expected: int = 0) -> None:
        super().__init__(path, reason)
        self.decodable = decodable
        self.expected = expected


def times_from_first(times: Sequence[float | None], count: int, fps: float) -> list[float]:
    """Return frame times in seconds from the first; even steps at `fps` if some of the `count` times are missing."""
    complete = [time for time in times if time is not None]
    if len(complete) != count:
        return [number / fps for number in range(count)]
    return [time - complete[0] for time in complete]


class VideoReader(ABC):
    """Random access to the frames of one file; use it as a context manager.

    Attributes:
        name: name of the decoder.
        path: path of the file.
        reason: reason why this reader was chosen for the file.
        fps: frames per second from the header, or else from the frame times; the official sampler uses this rate.
        rotation: degrees by which stored pictures are turned upright, counter-clockwise; known once a frame was read.
            decord turns pictures too, but does not tell.
        mirrored: whether left and right are exchanged after turning.
        damage: description of the damage of a file that is read in part; empty for a whole file.
    """

    name: str
    path: Path
    reason: str
    fps: float
    rotation: int = 0
    mirrored: bool = False
    damage: str = ""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def times(self) -> Sequence[float]:
        """Return when each frame is shown, in seconds from the first one; `fps` does not tell if steps are uneven.

        Raises:
            VideoError: the file turns out to be unreadable.
        """

    @abstractmethod
    def _read(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames height width 3"]:
        """Decode frames whose indices have been checked."""

    @abstractmethod
    def close(self) -> None:
        """Close the file; the reader cannot be used afterwards."""

    def frames(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames height width 3"]:
        """Return the frames at `indices`, in that order, as RGB in display orientation.

        Args:
            indices: frame indices in 0..len-1, in any order and possibly repeated.

        Raises:
            IndexError: an index is outside the clip, or there are no indices.
            VideoError: the file turns out to be unreadable at these frames.
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
