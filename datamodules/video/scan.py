"""Decodes a whole clip to find the true number of its frames and any damage."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import av
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from datamodules.video.container import Container
from datamodules.video.damage import damaged_element, expected_frames, incomplete
from datamodules.video.reader import VideoError

# Here every packet is one shown picture and has its presentation time; packets of VP8 and MPEG-4 may show nothing.
_CONTAINERS_WITH_TIMES = ("mov", "matroska")
_CODECS_WITH_TIMES = ("h264", "hevc", "vp9", "av1")


class Scan:
    """One pass over the frames of a container; its attributes are complete once `frames` is exhausted.

    Attributes:
        count: number of frames that can be decoded.
        patched: number of frames in which the decoder had to make up a part.
        marked: number of packets that the container marks as damaged.
        times: presentation times of the frames in seconds; those of frames without a time are missing.
        failure: error that ended decoding before the end of the file; empty if there was none.
    """

    def __init__(self, container: Container) -> None:
        """Take the open file."""
        self.container = container
        self.count = self.patched = self.marked = 0
        self.failure = ""
        self.times: list[float] = []
        self._promised: set[int] = set()  # picture times in the packets
        self._decoded: set[int] = set()  # picture times of the frames
        self._packets = self._end = self._longest = self._hidden = 0
        self._has_times = container.format.startswith(_CONTAINERS_WITH_TIMES) and container.codec in _CODECS_WITH_TIMES

    def frames(self) -> Iterator[VideoFrame]:
        """Yield every frame that can be decoded.

        Raises:
            VideoError: no frame can be decoded.
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
        """Number of pictures missing between the first frame and the last; all frames after one are misnumbered."""
        if not (self._has_times and self._decoded):
            return 0
        first, last = min(self._decoded), max(self._decoded)
        return sum(first < time < last for time in self._promised - self._decoded) + self._holes

    @property
    def _holes(self) -> int:
        """Number of pictures hidden in the middle, by a damaged time: an edit list hides only at the start or the end.

        In that case a picture is on screen for longer than the longest duration in the packets.
        """
        if not (self._hidden and self._longest):
            return 0
        steps = (after - before for before, after in pairwise(sorted(self._promised)))
        return sum(round(step / self._longest) - 1 for step in steps if step > 1.5 * self._longest)

    @property
    def expected(self) -> int:
        """Number of frames according to the header, without those that the packets mark as hidden."""
        if self.container.format == "avi":  # has empty packets for dropped frames, which are left out here
            return max(0, expected_frames(self.container) - max(0, self._end - self._packets))
        if self.container.format.startswith("mov") and self._hidden:  # an edit list has no count
            return self.container.pictures_in_index() - self._hidden
        return expected_frames(self.container)

    @property
    def span(self) -> float:
        """Time from the first frame to the last, in seconds."""
        return self.times[-1] - self.times[0] if self.times else 0.0

    @property
    def fps(self) -> float:
        """Frames per second from the header, or else from the frame times; 0 if both are missing."""
        return self.container.fps or ((self.count - 1) / self.span if self.span else 0.0)

    def damage(self) -> str:
        """Return a description of the damage with counts; empty if there is none."""
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
