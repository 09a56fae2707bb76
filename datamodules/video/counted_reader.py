"""Reads a clip that was decoded before, so that its count and any damage are known."""

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

# Whose packets tell when their picture is shown; those of AVI have times, but in the order of decoding.
_TELLING = ("mov", "matroska")
_HIDDEN = -(2**63)  # what FFmpeg itself has for no time


class CountedReader(GroupReader):
    """Decodes nothing until frames are asked for, and then only what these depend on.

    Of a file that seeking was found to be exact in, groups of pictures without a wanted frame are left out, and of the
    others the pictures that no other depends on. A file whose packets do not tell so is decoded from its beginning.
    """

    # Whose decoders know from a packet alone that no other picture depends on it; checked bit by bit.
    skippable = ("h264", "hevc")

    def __init__(self, container: Container, facts: ClipFacts) -> None:
        """Take count and frame rate as they are.

        Args:
            container: the open file, which this reader closes in the end.
            facts: what is known of it.
        """
        super().__init__(container, facts.reader_reason)
        self._count, self.fps = facts.frames, facts.fps
        self._closed_groups = facts.reader == DecordReader.name
        self._telling = (
            container.format.startswith(_TELLING) and not facts.damage and facts.bytes <= pyav_reader.KEPT_BYTES
        )

    def _read(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames height width 3"]:
        pictures: dict[int, UInt8[np.ndarray, "height width 3"]] = {}
        try:
            packets, times = self._packets()
            if times:
                wanted = {times[index]: index for index in indices}
                for group in self._groups(packets):
                    here = {time: wanted[time] for time in map(_time, group) if time in wanted}
                    pictures |= self._pictures(group, here) if here else {}
        except av.FFmpegError as error:
            log.info("%s: decoding in parts fails (%s); reading in sequence", self.path, error.strerror)
        if pictures.keys() != set(indices) or len({picture.shape for picture in pictures.values()}) > 1:
            return super()._read(indices)
        return np.stack([pictures[index] for index in indices])

    def times(self) -> Sequence[float]:
        """Return when each frame is shown, as the packets tell, or else all frames once they are decoded."""
        try:
            _, times = self._packets()
        except av.FFmpegError:
            times = []
        if not times:
            return super().times()
        return times_from_first([time * self._container.time_base for time in times], len(self), self.fps)

    def _packets(self) -> tuple[list[Packet[VideoStream]], list[int]]:
        """Return the packets in the order of decoding, and the times of all frames in order; none if they do not tell.

        Raises:
            av.FFmpegError: the file has changed.
        """
        packets = [packet for packet in self._container.packets() if packet.size] if self._telling else []
        times = sorted({_time(packet) for packet in packets} - {_HIDDEN})
        return packets, times if len(packets) == len(times) == self._count else []

    def _groups(self, packets: list[Packet[VideoStream]]) -> Iterator[list[Packet[VideoStream]]]:
        """Yield what can be decoded by itself."""
        starts = [number for number, packet in enumerate(packets) if packet.is_keyframe and self._closed_groups]
        for start, end in zip([0, *starts], [*starts, len(packets)], strict=True):
            yield packets[start:end]


def _time(packet: Packet[VideoStream]) -> int:
    """Return when a packet's picture is shown, or that this is not known or not the case."""
    shown = packet.pts is not None and not packet.is_discard and not packet.is_corrupt
    return packet.pts if shown and packet.pts is not None else _HIDDEN
