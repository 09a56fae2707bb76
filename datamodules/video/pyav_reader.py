"""Reads a video from its beginning with PyAV: slow for single frames of a long clip, but right for every container."""

from __future__ import annotations

from collections.abc import Sequence

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from datamodules.video.container import Container
from datamodules.video.damage import DamagedVideo, warn_if_cut_off
from datamodules.video.display import Orientation, square_pixels
from datamodules.video.reader import DamagedVideoError, VideoError, VideoReader, times_from_first
from datamodules.video.scan import Scan

# Limit on the decoded frames (YUV) kept per open clip: about ten seconds of 640x360 at 30 frames per second.
KEPT_BYTES = 128 * 2**20


class SequenceReader(VideoReader):
    """Base of readers that decode from the beginning up to the last wanted frame."""

    name = "pyav"
    _count: int

    def __init__(self, container: Container, reason: str) -> None:
        """Take the open file, which this reader closes in the end, and the reason why it is read in sequence."""
        self.path, self.reason = container.path, reason
        self._container = container
        self._to_rgb = VideoReformatter()
        self._kept: list[VideoFrame] = []

    def __len__(self) -> int:
        return self._count

    def times(self) -> Sequence[float]:
        """Return when each frame is shown, by decoding all frames."""
        try:
            times = [frame.time for frame in self._kept or self._container.frames()]
        except av.FFmpegError as error:
            raise VideoError(self.path, f"decoding fails: {error.strerror}") from error
        return times_from_first(times, len(self), self.fps)

    def _read(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames height width 3"]:
        wanted = set(indices)
        pictures: dict[int, UInt8[np.ndarray, "height width 3"]] = {}
        try:
            for index, frame in enumerate(self._kept or self._container.frames()):
                if index in wanted:
                    pictures[index] = self._picture(frame)
                    if len(pictures) == len(wanted):
                        break
        except av.FFmpegError as error:
            raise VideoError(self.path, f"decoding fails: {error.strerror}") from error
        if len(pictures) < len(wanted):
            raise VideoError(self.path, f"frame {min(wanted - pictures.keys())} cannot be decoded")
        sizes = {picture.shape[:2] for picture in pictures.values()}
        if len(sizes) > 1:
            raise VideoError(self.path, f"the picture size changes within the clip: {sorted(sizes)} (height, width)")
        return np.stack([pictures[index] for index in indices])

    def _picture(self, frame: VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
        # One reformatter and one thread: creating one per frame costs four times as much as a 64x64 conversion.
        size = square_pixels(frame.width, frame.height, self._container.pixel_aspect)
        rgb: UInt8[np.ndarray, "height width 3"] = self._to_rgb.reformat(
            frame, *size, format="rgb24", threads=1
        ).to_ndarray()
        orientation = Orientation.of(frame, self.path)
        self.rotation, self.mirrored = orientation.degrees, orientation.mirrored
        return orientation(rgb)

    def close(self) -> None:
        """Close the file and free the kept frames."""
        self._kept.clear()
        self._container.close()


class PyAVReader(SequenceReader):
    """Decodes the whole clip once when opened, so its length is exact and any damage is known before a frame is used.

    The decoded frames are kept if they fit into `KEPT_BYTES`; a longer clip is decoded again for every request, and
    only the wanted frames are converted and kept.
    """

    def __init__(
        self, container: Container, damaged: DamagedVideo = DamagedVideo.REFUSE, reason: str = "asked for"
    ) -> None:
        """Decode `container`, which this reader closes in the end.

        Args:
            container: open file.
            damaged: what to do if the decoder fails or finds fewer frames than the header promises.
            reason: reason why the file is read in sequence.

        Raises:
            DamagedVideoError: the file is damaged, under `DamagedVideo.REFUSE`.
            VideoError: no frame at all can be decoded, or the frame rate is unknown.
        """
        super().__init__(container, reason)
        try:
            self._scan(damaged)
        except VideoError:
            self.close()
            raise

    def times(self) -> Sequence[float]:
        """Return when each frame is shown, as found on opening."""
        return times_from_first(self._times, len(self), self.fps)

    def _scan(self, damaged: DamagedVideo) -> None:
        scan, size = Scan(self._container), 0
        for frame in scan.frames():
            size += sum(plane.buffer_size for plane in frame.planes)
            if size <= KEPT_BYTES:
                self._kept.append(frame)
        if size > KEPT_BYTES:
            self._kept.clear()
        self._count, self.fps, self._times = scan.count, scan.fps, scan.times
        if not self.fps:
            raise VideoError(self.path, "neither the header nor the frames' times give a frame rate")
        damage = scan.damage()
        if damage:
            damaged.handle(DamagedVideoError(self.path, damage, decodable=scan.count, expected=scan.expected))
            self.damage = damage
        else:
            warn_if_cut_off(self._container, scan.count, scan.span + 1 / self.fps)
