"""Reads a clip that was decoded before, so that its number of frames and any damage are known."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import av
import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream
from jaxtyping import UInt8

from datamodules.video import pyav_reader
from datamodules.video.clip_facts import ClipFacts
from datamodules.video.container import Container
from datamodules.video.decord_reader import DecordReader
from datamodules.video.reader import times_from_first
from datamodules.video.seeking_reader import GroupReader

log = logging.getLogger(__name__)

# Packets in these containers have presentation times; those of AVI have decoding times only.
_WITH_TIMES = ("mov", "matroska")
_HIDDEN = -(2**63)  # FFmpeg's value for "no time"


class CountedReader(GroupReader):
    """Decodes only on request, and then only what the wanted frames depend on.

    In a file with exact seeking, groups of pictures without a wanted frame are skipped, and so are pictures that no
    wanted frame depends on. A file whose packets have no presentation times is decoded from its beginning.
    """

    # The decoders of these codecs know from a packet alone that no other picture depends on it; checked bit by bit.
    skippable = ("h264", "hevc")

    def __init__(self, container: Container, facts: ClipFacts) -> None:
        """Take the number of frames and the frame rate from `facts`.

        Args:
            container: open file; this reader closes it in the end.
            facts: facts about the file from an earlier complete decoding.
        """
        super().__init__(container, facts.reader_reason)
        self._count, self.fps, self.damage = facts.frames, facts.fps, facts.damage
        self._closed_groups = facts.reader == DecordReader.name
        self._has_times = (
            container.format.startswith(_WITH_TIMES) and not facts.damage and facts.bytes <= pyav_reader.KEPT_BYTES
        )

    def _read(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames height width 3"]:
        pictures: dict[int, UInt8[np.ndarray, "height width 3"]] = {}
        try:
            packets, times = self._packets()
            if times:
                wanted = {times[index]: index for index in indices}
                for group in self._groups(packets):
                    in_group = {time: wanted[time] for time in map(_time, group) if time in wanted}
                    pictures |= self._pictures(group, in_group) if in_group else {}
        except av.FFmpegError as error:
            log.info("%s: decoding in parts fails (%s); reading in sequence", self.path, error.strerror)
        if pictures.keys() != set(indices) or len({picture.shape for picture in pictures.values()}) > 1:
            return super()._read(indices)
        return np.stack([pictures[index] for index in indices])

    def times(self) -> Sequence[float]:
        """Return when each frame is shown, from the packets if they have times, or else by decoding all frames."""
        try:
            _, times = self._packets()
        except av.FFmpegError:
            times = []
        if not times:
            return super().times()
        return times_from_first([time * self._container.time_base for time in times], len(self), self.fps)

    def _packets(self) -> tuple[list[Packet[VideoStream]], list[int]]:
        """Return the packets in decoding order and the times of all frames in order; no times if packets have none.

        Raises:
            av.FFmpegError: the file has changed.
        """
        packets = [packet for packet in self._container.packets() if packet.size] if self._has_times else []
        times = sorted({_time(packet) for packet in packets} - {_HIDDEN})
        return packets, times if len(packets) == len(times) == self._count else []

    def _groups(self, packets: list[Packet[VideoStream]]) -> Iterator[list[Packet[VideoStream]]]:
        """Yield the groups of packets that can be decoded by themselves."""
        starts = [number for number, packet in enumerate(packets) if packet.is_keyframe and self._closed_groups]
        for start, end in zip([0, *starts], [*starts, len(packets)], strict=True):
            yield packets[start:end]


def _time(packet: Packet[VideoStream]) -> int:
    """Return when a packet's picture is shown; `_HIDDEN` if it is not shown or the time is unknown."""
    shown = packet.pts is not None and not packet.is_discard and not packet.is_corrupt
    return packet.pts if shown and packet.pts is not None else _HIDDEN
