"""Reads single frames of a long clip with PyAV: only the groups of pictures that they are in are decoded.

What is decoded is looked at for damage, as in sequence.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import av
import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream
from jaxtyping import UInt8

from datamodules.video.container import Container
from datamodules.video.damage import DamagedVideo
from datamodules.video.pyav_reader import PyAVReader, SequenceReader
from datamodules.video.reader import VideoError, times_from_first

log = logging.getLogger(__name__)


class GroupReader(SequenceReader):
    """What readers have in common that decode the groups of pictures with wanted frames, and no more.

    Attributes:
        skippable: codecs of which the pictures that no other depends on are left out.
    """

    skippable: tuple[str, ...] = ()

    def _pictures(
        self, group: Iterable[Packet[VideoStream]], wanted: dict[int, int]
    ) -> dict[int, UInt8[np.ndarray, "height width 3"]]:
        """Return pictures by index; none if the group is damaged, or does not have all of them in order.

        Args:
            group: packets that can be decoded by themselves.
            wanted: index of each picture wanted of this group, by its time.

        Raises:
            av.FFmpegError: the decoder fails.
        """
        pictures: dict[int, UInt8[np.ndarray, "height width 3"]] = {}
        container, last = self._container, None
        try:
            for packet in chain(group, [None]):
                if container.codec in self.skippable:
                    container.skip_unreferenced(packet is not None and packet.pts not in wanted)
                for frame in container.decode(packet):
                    if frame.is_corrupt or frame.pts is None or (last is not None and frame.pts < last):
                        return {}  # patched, or the order of decoding is not that of the times
                    last = frame.pts
                    if frame.pts in wanted:
                        pictures[wanted[frame.pts]] = self._picture(frame)
                if len(pictures) == len(wanted):
                    return pictures
        finally:
            container.forget()
        return {}


@dataclass
class Groups:
    """The groups of pictures of a file, as its packets tell without decoding.

    Attributes:
        obstacle: why the file cannot or need not be read by seeking; empty if it is long, and exact so.
        times: when each frame is shown, in this order.
        keys: when each key frame is shown, in this order.
        stored: when each key frame is decoded.
    """

    obstacle: str = ""
    times: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)

    def holding(self, indices: Iterable[int]) -> Iterator[tuple[int, int, dict[int, int]]]:
        """Yield the groups that hold some frames: both times of the key frame, and the frames' indices by time."""
        groups: dict[int, dict[int, int]] = {}
        for index in sorted(set(indices)):
            time = self.times[index]
            groups.setdefault(bisect_right(self.keys, time) - 1, {})[time] = index
        for number, wanted in groups.items():
            yield self.keys[number], self.stored[number], wanted


class SeekingReader(GroupReader):
    """Seeks to the key frame of each group with a wanted frame.

    Where damage is met, or a group does not have the frames that its packets promise, the whole clip is read in
    sequence, which says what is wrong with it.
    """

    def __init__(self, container: Container, groups: Groups, reason: str, damaged: DamagedVideo) -> None:
        """Take what the packets tell as it is.

        Args:
            container: the open file, which this reader closes in the end.
            groups: of all its packets, without an obstacle.
            reason: why the file may be read so.
            damaged: what to do when damage is met.
        """
        super().__init__(container, reason)
        self._groups, self._damaged = groups, damaged
        self._count, self.fps = len(groups.times), container.fps

    def times(self) -> Sequence[float]:
        """Return when each frame is shown, as the packets tell."""
        times = [time * self._container.time_base for time in self._groups.times]
        return times_from_first(times, len(self), self.fps)

    def _read(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames height width 3"]:
        pictures: dict[int, UInt8[np.ndarray, "height width 3"]] = {}
        trouble = "damaged pictures, or not those that the packets promise"
        try:
            for key, stored, wanted in self._groups.holding(indices):
                pictures |= self._pictures(self._container.packets_from(key, stored), wanted)
        except av.FFmpegError as error:
            trouble = error.strerror or type(error).__name__
        if pictures.keys() == set(indices) and len({picture.shape for picture in pictures.values()}) == 1:
            return np.stack([pictures[index] for index in indices])
        log.info("%s: seeking fails (%s); reading in sequence", self.path, trouble)
        with PyAVReader(Container(self.path), self._damaged, "seeking failed") as reader:
            if len(reader) != len(self):
                raise VideoError(self.path, f"{len(self)} frames are in its packets, but {len(reader)} can be decoded")
            return reader.frames(indices)
