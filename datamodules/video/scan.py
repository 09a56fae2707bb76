"""Decoding a whole clip, and what that tells of it: the true count of its frames, and any damage."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import av
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from datamodules.video.container import Container
from datamodules.video.damage import expected_frames, incomplete
from datamodules.video.matroska import damaged_element
from datamodules.video.reader import VideoError

# Whose packets tell when their picture is shown, one picture each; those of VP8 and MPEG-4 may show nothing.
_TELLING_CONTAINERS = ("mov", "matroska")
_TELLING_CODECS = ("h264", "hevc", "vp9", "av1")


class Scan:
    """One pass over the frames of a container; its findings are complete when `frames` has ended.

    Attributes:
        count: frames that can be decoded.
        patched: those of them in which the decoder had to invent a part.
        marked: packets that the container knows to be damaged.
        times: when each of the frames is shown, in seconds; fewer where some do not say.
        failure: why decoding ended before the file does; empty if it did not.
    """

    def __init__(self, container: Container) -> None:
        """Take the open file."""
        self.container = container
        self.count = self.patched = self.marked = 0
        self.failure = ""
        self.times: list[float] = []
        self._promised: set[int] = set()  # times of pictures, by the packets
        self._decoded: set[int] = set()  # and by the frames
        self._packets = self._end = self._longest = self._hidden = 0
        self._telling = container.format.startswith(_TELLING_CONTAINERS) and container.codec in _TELLING_CODECS

    def frames(self) -> Iterator[VideoFrame]:
        """Yield every frame that can be decoded.

        Raises:
            VideoError: there is none.
        """
        try:
            for packet in self.container.packets():
                self._note(packet)
                for frame in self.container.decode(packet):
                    self.count += 1
                    self.patched += frame.is_corrupt
                    if frame.time is not None:
                        self.times.append(frame.time)
                    if frame.pts is not None:
                        self._decoded.add(frame.pts)
                    yield frame
        except av.FFmpegError as error:
            self.failure = error.strerror or type(error).__name__
        if self.count == 0:
            reason = f"no frame can be decoded: {self.failure or 'the video stream is empty'}"
            raise VideoError(self.container.path, reason)

    def _note(self, packet: Packet[VideoStream]) -> None:
        if packet.size:
            self.marked += packet.is_corrupt
            self._packets += 1
            self._end = (packet.dts or 0) + 1
            self._longest = max(self._longest, packet.duration or 0)
            self._hidden += packet.is_discard
            if packet.pts is not None and not packet.is_discard:
                self._promised.add(packet.pts)

    @property
    def lost(self) -> int:
        """Pictures missing between the first frame and the last, so that all later ones have a wrong number."""
        if not (self._telling and self._decoded):
            return 0
        first, last = min(self._decoded), max(self._decoded)
        return sum(first < time < last for time in self._promised - self._decoded) + self._holes

    @property
    def _holes(self) -> int:
        """Pictures hidden in between, as a damaged time does: an edit list hides from the beginning or to the end.

        Then a picture is on screen for longer than any is in the table of the file.
        """
        if not (self._hidden and self._longest):
            return 0
        steps = (after - before for before, after in pairwise(sorted(self._promised)))
        return sum(round(step / self._longest) - 1 for step in steps if step > 1.5 * self._longest)

    @property
    def expected(self) -> int:
        """Frames that the header promises, without those that the packets tell are not to be shown."""
        if self.container.format == "avi":  # has empty packets, which are left out here, for dropped frames
            return max(0, expected_frames(self.container) - max(0, self._end - self._packets))
        if self.container.format.startswith("mov") and self._hidden:  # by an edit list, which has no count
            return self.container.indexed() - self._hidden
        return expected_frames(self.container)

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
        expected = self.expected
        if self.container.format.startswith("matroska") and (element := damaged_element(self.container.path)):
            return f"damaged: {element}"
        if self.failure:
            of = f" of {expected}" if expected else ""
            return f"damaged: decoding fails after {self.count}{of} frames: {self.failure}"
        if incomplete(self.count, expected):
            return f"damaged: {self.count} of {expected} frames can be decoded"
        if self.lost:
            return f"damaged: {self.lost} of {self.count + self.lost} pictures are missing in between"
        if self.marked:
            return f"damaged: the file marks {self.marked} of its packets as damaged"
        if self.patched:
            return f"damaged: the decoder had to patch {self.patched} of {self.count} frames"
        return ""
