"""Decoding a whole clip, and what that tells of it: the true count of its frames, and any damage."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.video.frame import VideoFrame

from datamodules.video.completeness import expected_frames, incomplete
from datamodules.video.container import Container
from datamodules.video.reader import VideoError


class Scan:
    """One pass over the frames of a container; its findings are complete when `frames` has ended.

    Attributes:
        count: frames that can be decoded.
        patched: those of them in which the decoder had to invent a part.
        times: when each of them is shown, in seconds; fewer where some do not say.
        failure: why decoding ended before the file does; empty if it did not.
    """

    def __init__(self, container: Container) -> None:
        """Take the open file."""
        self.container = container
        self.count = self.patched = 0
        self.failure = ""
        self.times: list[float] = []

    def frames(self) -> Iterator[VideoFrame]:
        """Yield every frame that can be decoded.

        Raises:
            VideoError: there is none.
        """
        try:
            for frame in self.container.frames():
                self.count += 1
                self.patched += frame.is_corrupt
                if frame.time is not None:
                    self.times.append(frame.time)
                yield frame
        except av.FFmpegError as error:
            self.failure = error.strerror or type(error).__name__
        if self.count == 0:
            reason = f"no frame can be decoded: {self.failure or 'the video stream is empty'}"
            raise VideoError(self.container.path, reason)

    @property
    def span(self) -> float:
        """Seconds from the first frame to the last."""
        return self.times[-1] - self.times[0] if self.times else 0.0

    @property
    def fps(self) -> float:
        """Frames per second as the header says, or else as the frames' times do; 0 if neither does."""
        return self.container.fps or ((self.count - 1) / self.span if self.span else 0.0)

    def damage(self) -> str:
        """Return what is damaged, with the counts; empty if nothing is."""
        expected = expected_frames(self.container)
        if self.failure:
            of = f" of {expected}" if expected else ""
            return f"damaged: decoding fails after {self.count}{of} frames: {self.failure}"
        if incomplete(self.count, expected):
            return f"damaged: {self.count} of {expected} frames can be decoded"
        if self.patched:
            return f"damaged: the decoder had to patch {self.patched} of {self.count} frames"
        return ""
