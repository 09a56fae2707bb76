"""A video file opened with PyAV: the facts in its header, its packets and its frames in sequence.

Readers are chosen by these facts and not by the name of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import av
from av.codec.context import CodecContext
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from datamodules.video.display import MOST_STRETCHED
from datamodules.video.reader import VideoError

# Playlists (HLS, concat, DASH, SDP) are left out on purpose: they would open whatever other file or address they name.
CONTAINERS = "mov,matroska,webm,avi,gif,apng,mpegts,mpeg,flv,asf,ogg,mxf,ivf"
_OPEN_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
_FROM_ZERO = ("matroska", "asf")  # their duration counts from time 0, even if the first frame is shown later
# No decoder notices every flipped bit, but these notice far more than FFmpeg's first choice and give the same pictures:
# of 40 files with one flipped bit each, libvpx refused 37 and FFmpeg's own VP9 decoder one. An HEVC stream may carry
# checksums of its pictures, which are verified on request only.
_STRICT_DECODERS = {("vp9", "yuv420p"): "libvpx-vp9"}  # often built for 8 bits only
_STRICT_OPTIONS = {"hevc": {"err_detect": "crccheck+explode"}}


class Container:
    """One open file and its best video stream, the one that players show.

    Attributes:
        path: path of the file.
        format: FFmpeg's names of the container format, such as `mov,mp4,m4a,3gp,3g2,mj2`.
        codec: FFmpeg's name of the codec, such as `h264`.
        pixel_format: FFmpeg's name of the pixel format, such as `yuv420p`.
        width: coded width in pixels, before rotation.
        height: coded height in pixels, before rotation.
        pixel_aspect: displayed width of a pixel relative to its height; 1 if the file does not say.
        interlaced: whether the stream declares fields.
        header_frames: number of frames in the header; 0 if the header has none.
        time_base: seconds per unit of a packet's time.
        duration: duration of the video stream, or else of the file, in seconds; 0 if the header has none.
        fps: frames per second in the header, which the frame times may contradict; 0 if the header has none.
    """

    def __init__(self, path: Path, strict: bool = True) -> None:
        """Open `path`.

        Args:
            path: path of the file.
            strict: whether to use the decoders that notice the most damage; others are faster for undamaged files.

        Raises:
            VideoError: the path is not a regular file, or the file is empty, of an unknown container format, or without
                a video stream that can be decoded.
        """
        self.path, self._strict = path, strict
        if not path.is_file():
            reason = (
                "no regular file (a pipe, device, socket or endless link)" if os.path.lexists(path) else "no such file"
            )
            raise VideoError(path, "is a folder, not a video file" if path.is_dir() else reason)
        if path.stat().st_size == 0:
            raise VideoError(path, "empty file (0 bytes)")
        self._open()
        stream, context = self._stream, self._stream.codec_context
        self.format = self._file.format.name
        self.codec = context.codec.canonical_name
        self.pixel_format = context.pix_fmt or "unknown"
        self.width, self.height = context.width, context.height
        self.pixel_aspect = float(stream.sample_aspect_ratio or 1)
        self.interlaced = context.field_order > 1  # 0 is unknown, 1 progressive
        self.header_frames = stream.frames
        self.time_base = float(stream.time_base or 0)
        if stream.duration:
            self.duration = stream.duration * self.time_base
        else:
            self.duration = (self._file.duration or 0) / av.time_base
        if self.format.startswith(_FROM_ZERO):
            self.duration = max(0.0, self.duration - max(0, stream.start_time or 0) * self.time_base)
        self.fps = float(stream.average_rate or stream.guessed_rate or 0)
        if not 1 / MOST_STRETCHED <= self.pixel_aspect <= MOST_STRETCHED:
            self.close()
            raise VideoError(path, f"its pixels are {self.pixel_aspect:g} times as wide as high")

    def _open(self) -> None:
        try:
            # The absolute path, since FFmpeg would take a name such as `a:b.mp4` for a protocol.
            self._file: InputContainer = av.open(
                str(self.path.absolute()),
                container_options=_OPEN_OPTIONS,
                metadata_errors="replace",  # a title may be in any encoding
            )
        except av.ArgumentError as error:
            raise VideoError(self.path, f"not a container that is read here ({CONTAINERS})") from error
        except (av.FFmpegError, OSError) as error:
            raise VideoError(self.path, f"cannot be opened as a video: {error.strerror}") from error
        self._used = False
        best = self._file.streams.best("video")
        if not isinstance(best, VideoStream) or Disposition.attached_pic in Disposition(best.disposition):
            self._file.close()
            raise VideoError(self.path, "no video stream")
        if best.codec_context is None:
            self._file.close()
            raise VideoError(self.path, "no decoder for its video stream")
        self._stream = best
        # Loaders run one process per core: decoder threads would only compete for the same cores.
        self._stream.thread_type = "NONE"
        self._stream.thread_count = 1
        if self._strict:
            self._stream.codec_context.options = _STRICT_OPTIONS.get(best.codec_context.codec.canonical_name, {})
        self._decoder: VideoCodecContext | None = None

    def decode(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        """Return the frames that a packet completes; for None or the empty last packet, all remaining frames.

        Raises:
            av.FFmpegError: the decoder fails.
        """
        if self._decoder is None:
            self._decoder = self._strict_decoder(packet) if packet else self._stream.codec_context
        return self._decoder.decode(packet)

    def skip_unreferenced(self, skip: bool) -> None:
        """Switch on or off whether pictures of the next packets are skipped if no other picture depends on them."""
        self._stream.codec_context.skip_frame = "NONREF" if skip else "DEFAULT"

    def flush(self) -> None:
        """Make the decoder ready for packets from another position."""
        if self._decoder is not None:
            self._decoder.flush_buffers()

    def _strict_decoder(self, first: Packet[VideoStream]) -> VideoCodecContext:
        """Return the decoder that notices the most damage.

        A decoder created here does not know the display matrix, so a rotated stream keeps FFmpeg's own.
        """
        usual = self._stream.codec_context
        name = _STRICT_DECODERS.get((usual.codec.canonical_name, usual.pix_fmt or ""))
        if not self._strict or name not in av.codecs_available:
            return usual
        turned = any(frame.side_data.get("DISPLAYMATRIX") for frame in usual.decode(first))
        usual.flush_buffers()
        if turned:
            return usual
        strict = CodecContext.create(name, "r")
        assert isinstance(strict, VideoCodecContext)
        strict.extradata = usual.extradata
        strict.thread_type, strict.thread_count = "NONE", 1
        return strict

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """Yield the packets of the stream from its beginning; the last one is empty and flushes the decoder."""
        if self._used:
            self.close()
            self._open()
        self._used = True
        yield from self._file.demux(self._stream)

    def packets_from(self, time: int, stored: int) -> Iterator[Packet[VideoStream]]:
        """Yield the packets of the stream from a key frame up to the next one; none if the key frame is not found.

        Args:
            time: presentation time of the key frame, in units of `time_base`.
            stored: its decoding time, by which files in decoding order are searched.
        """
        self._used = True
        self._file.seek(min(time, stored), stream=self._stream)
        reached = False
        for packet in self._file.demux(self._stream):
            if reached and (packet.is_keyframe or not packet.size):
                break
            reached = reached or (packet.is_keyframe and packet.pts == time)
            if reached:
                yield packet

    def pictures_in_index(self) -> int:
        """Return the number of pictures in the index, shown or hidden; for MP4 all of them, even in a cut-off file."""
        return len(self._stream.index_entries)

    def frames(self) -> Iterator[VideoFrame]:
        """Yield the frames that a player would show, from the first one.

        Raises:
            av.FFmpegError: the file is damaged at this point.
        """
        for packet in self.packets():
            yield from self.decode(packet)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
