"""Reads single frames of a long clip with PyAV by decoding only the groups of pictures that contain them.

Decoded pictures are checked for damage, as in sequential reading.
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
    """Base of readers that decode only the groups of pictures with wanted frames.

    Attributes:
        skippable: codecs in which pictures that no other picture depends on are skipped.
    """

    skippable: tuple[str, ...] = ()

    def _pictures(
        self, group: Iterable[Packet[VideoStream]], wanted: dict[int, int]
    ) -> dict[int, UInt8[np.ndarray, "height width 3"]]:
        """Return pictures by frame index; none if the group is damaged or does not have all of them in order.

        Args:
            group: packets that can be decoded by themselves.
            wanted: frame index of each wanted picture of this group, by its presentation time.

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
                        return {}  # patched by the decoder, or not in order of presentation
                    last = frame.pts
                    if frame.pts in wanted:
                        pictures[wanted[frame.pts]] = self._picture(frame)
                if len(pictures) == len(wanted):
                    return pictures
        finally:
            container.flush()
        return {}


@dataclass
class Groups:
    """The groups of pictures of a file, found in its packets without decoding. Times are in units of `time_base`.

    Attributes:
        obstacle: reason why the file cannot or need not be read by seeking; empty for a long file with exact seeking.
        times: presentation times of all frames, ascending.
        keys: presentation times of the key frames, ascending.
        stored: decoding times of the key frames.
        damage: what may be missing at the end of the file; empty for a whole file.
    """

    obstacle: str = ""
    times: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)
    damage: str = ""

    def containing(self, indices: Iterable[int]) -> Iterator[tuple[int, int, dict[int, int]]]:
        """Yield each group with a wanted frame: both times of its key frame, and wanted frame indices by time."""
        groups: dict[int, dict[int, int]] = {}
        for index in sorted(set(indices)):
            time = self.times[index]
            groups.setdefault(bisect_right(self.keys, time) - 1, {})[time] = index
        for number, wanted in groups.items():
            yield self.keys[number], self.stored[number], wanted


class SeekingReader(GroupReader):
    """Seeks to the key frame of each group with a wanted frame.

    If a group is damaged or lacks frames that its packets promise, the whole clip is read in sequence, which reports
    what is wrong with it.
    """

    def __init__(self, container: Container, groups: Groups, reason: str, damaged: DamagedVideo) -> None:
        """Take the number of frames and their times from `groups`.

        Args:
            container: open file; this reader closes it in the end.
            groups: groups of all packets of the file, without an obstacle.
            reason: reason why the file may be read by seeking.
            damaged: what to do if the file is damaged.
        """
        super().__init__(container, reason)
        self._groups, self._damaged = groups, damaged
        self._count, self.fps, self.damage = len(groups.times), container.fps, groups.damage

    def times(self) -> Sequence[float]:
        """Return when each frame is shown, from the packets."""
        times = [time * self._container.time_base for time in self._groups.times]
        return times_from_first(times, len(self), self.fps)

    def _read(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames height width 3"]:
        pictures: dict[int, UInt8[np.ndarray, "height width 3"]] = {}
        trouble = "damaged pictures, or not those that the packets promise"
        try:
            for key, stored, wanted in self._groups.containing(indices):
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
