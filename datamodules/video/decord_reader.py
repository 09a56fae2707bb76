"""Reads single frames of long videos by seeking with decord, only in files for which decord is known to be exact."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import decord
import numpy as np
from jaxtyping import UInt8

from datamodules.video.reader import VideoError, VideoReader, times_from_first

log = logging.getLogger(__name__)

# decord's errors are raised as exceptions; FFmpeg's lines on stderr would repeat them without the name of the file.
decord.logging.set_level(decord.logging.FATAL)


class DecordReader(VideoReader):
    """Seeks to each frame through the index of key frames.

    decord (measured: decord2 3.4) returns wrong frames without an error for AVI, edit lists, open groups of pictures
    and MPEG-4 with B frames; `open_video` does not use it for such files. It also patches damaged pictures silently,
    while `PyAVReader` notices them.
    """

    name = "decord"

    def __init__(self, path: Path, reason: str, in_sequence: Callable[[], VideoReader]) -> None:
        """Index `path`.

        Args:
            path: path of the file.
            reason: reason why decord may read it.
            in_sequence: function that opens the reader to use when decord fails.

        Raises:
            VideoError: decord cannot open the file.
        """
        self.path, self.reason = path, reason
        self._in_sequence = in_sequence
        try:
            # fault_tol: raise an error for a frame that cannot be decoded; the default repeats the frame before.
            self._decord = decord.VideoReader(str(path.absolute()), num_threads=1, fault_tol=1e-9)
        except (decord.DECORDError, RuntimeError, AssertionError) as error:
            raise VideoError(path, f"decord cannot open it: {_last_line(error)}") from error
        self._count = len(self._decord)
        self.fps = float(self._decord.get_avg_fps())

    def __len__(self) -> int:
        return self._count

    def times(self) -> Sequence[float]:
        """Return when each frame is shown, from the index."""
        starts = self._decord.get_frame_timestamp(list(range(len(self))))[:, 0]
        return times_from_first([float(start) for start in starts], len(self), self.fps)

    def _read(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames height width 3"]:
        try:
            frames: UInt8[np.ndarray, "frames height width 3"] = self._decord.get_batch(list(indices)).asnumpy()
            return frames
        except (decord.DECORDError, decord.DECORDLimitReachedError, RuntimeError) as error:
            log.info("%s: decord fails (%s); reading in sequence", self.path, _last_line(error))
        with self._in_sequence() as reader:
            if len(reader) != len(self):
                raise VideoError(self.path, f"decord counts {len(self)} frames, but {len(reader)} can be decoded")
            return reader.frames(indices)

    def close(self) -> None:
        """Free the decoder."""
        self._decord = None


def _last_line(error: Exception) -> str:
    """Return the last line of an error, which has decord's message; the lines before it are a stack trace."""
    return next((line for line in str(error).splitlines()[::-1] if line.strip()), type(error).__name__).strip()
