"""Opens a video with the right reader for it, which is chosen by the content of the file and never by its name."""

from __future__ import annotations

import logging
from pathlib import Path

import av

from components.files import content_hash
from datamodules.video import pyav_reader
from datamodules.video.clip_facts import ClipFacts
from datamodules.video.container import Container
from datamodules.video.counted_reader import CountedReader
from datamodules.video.damage import DamagedVideo, damaged_element, expected_frames, incomplete, warn_if_cut_off
from datamodules.video.decord_reader import DecordReader
from datamodules.video.image_reader import ImageReader, open_image
from datamodules.video.pyav_reader import PyAVReader
from datamodules.video.reader import DamagedVideoError, VideoError, VideoReader
from datamodules.video.seeking_reader import Groups, SeekingReader

__all__ = ["DamagedVideo", "find_groups", "open_known", "open_video"]

log = logging.getLogger(__name__)

# For these, decord's frames were equal to those of sequential decoding, bit by bit.
_DECORD_CONTAINERS = ("mov", "matroska")
# VP8 was exact too, but its decoder notices hardly any damage, and shows it depending on where decoding began.
_DECORD_CODECS = ("h264", "vp9", "av1")
_DECORD_PIXEL_FORMATS = ("yuv420p", "yuvj420p")


def open_video(path: Path, damaged: DamagedVideo = DamagedVideo.REFUSE) -> VideoReader:
    """Open a file for reading exact frames; the reason for the choice of reader is logged and kept in `reader.reason`.

    Clips whose frames fit into memory are decoded in sequence, which is also fastest for them; longer ones are read by
    seeking if that is exact. Opening a file finds damage anywhere in it, except for files read by seeking: there,
    damage is found only in the parts that are read. A picture (JPEG, PNG, WebP, BMP) is a clip of one frame.

    Args:
        path: path of the file.
        damaged: what to do with a file that can be decoded only in part. `KEEP_DECODABLE` never seeks, since all frames
            have to be decoded to count them.

    Raises:
        DamagedVideoError: only a part can be decoded, under `DamagedVideo.REFUSE`.
        VideoError: no frame can be read.
    """
    image = open_image(Path(path))
    if image is not None:
        return image
    container = Container(Path(path))
    groups = find_groups(container, damaged)
    if groups.obstacle:
        reader: VideoReader = PyAVReader(container, damaged, groups.obstacle)
    else:
        reader = SeekingReader(container, groups, "long, and exact when seeking", damaged)
    log.debug("%s: read with %s: %s", reader.path, reader.name, reader.reason)
    return reader


def open_known(path: Path, facts: ClipFacts, damaged: DamagedVideo = DamagedVideo.REFUSE) -> VideoReader:
    """Open a file that was decoded completely before, without analysing it again.

    Only what the wanted frames depend on is decoded. decord is used only if the packets do not fit into memory.

    Args:
        path: path of the file.
        facts: facts from the complete decoding.
        damaged: what to do with a file that can be decoded only in part.

    Raises:
        DamagedVideoError: only a part can be decoded, under `DamagedVideo.REFUSE`.
        VideoError: no frame can be read.
    """
    if facts.error:
        raise VideoError(path, facts.error)
    if facts.sha256:
        _require_content(path, facts.sha256)
    if facts.damage:
        reason = f"damaged: {facts.damage}"
        damaged.handle(DamagedVideoError(path, reason, decodable=facts.frames, expected=facts.header_frames))
    elif facts.reader == DecordReader.name and facts.bytes > pyav_reader.KEPT_BYTES:
        return _by_seeking(path, damaged)
    if facts.reader == ImageReader.name:
        return open_image(path) or open_video(path, damaged)  # the file was replaced if it is no longer a picture
    return CountedReader(Container(path, strict=bool(facts.damage or not facts.sha256)), facts)


def _require_content(path: Path, sha256: str) -> None:
    """Refuse a file whose content has changed since it was decoded, even if size and time of change are the same."""
    try:
        same = content_hash(path) == sha256
    except OSError as error:
        raise VideoError(path, f"cannot be read: {error.strerror}") from error
    if not same:
        raise VideoError(path, "its content has changed since check-data: replaced or damaged")


def find_groups(container: Container, damaged: DamagedVideo = DamagedVideo.REFUSE) -> Groups:
    """Return the groups of pictures of a file, or the reason why it cannot or need not be read by seeking."""
    obstacle = _obstacle_in_header(container, damaged)
    return Groups(obstacle) if obstacle else _groups_in_packets(container)


def _by_seeking(path: Path, damaged: DamagedVideo) -> VideoReader:
    try:
        return DecordReader(
            path,
            reason="long, and exact when seeking",
            in_sequence=lambda: PyAVReader(Container(path), damaged, reason="decord failed"),
        )
    except VideoError as error:
        return PyAVReader(Container(path), damaged, error.reason)


def _obstacle_in_header(container: Container, damaged: DamagedVideo) -> str:
    """Return the reason in the header why a file cannot or need not be read by seeking; empty if there is none."""
    frames = expected_frames(container) or round(container.duration * container.fps)
    size = frames * container.width * container.height * 3 // 2
    checks = {
        f"container {container.format}": not container.format.startswith(_DECORD_CONTAINERS),
        "the header has no duration or frame rate": not frames,
        "short": size <= pyav_reader.KEPT_BYTES,
        f"codec {container.codec}": container.codec not in _DECORD_CODECS,
        f"pixel format {container.pixel_format}": container.pixel_format not in _DECORD_PIXEL_FORMATS,
        "odd width or height": bool(container.width % 2 or container.height % 2),
        "interlaced": container.interlaced,
        "all frames have to be counted": damaged is DamagedVideo.KEEP_DECODABLE,
    }
    return next((obstacle for obstacle, applies in checks.items() if applies), "")


def _groups_in_packets(container: Container) -> Groups:
    """Return the groups of pictures from the packets, without decoding, or the reason why seeking is not exact."""
    if container.format.startswith("matroska") and (element := damaged_element(container.path)):
        return Groups(f"damaged: {element}")
    groups = Groups()
    seen: set[int] = set()
    try:
        for packet in container.packets():
            if packet.size == 0:
                continue
            if packet.pts is None:
                return Groups("packets without times")
            if packet.is_corrupt:
                return Groups("damaged packets")
            if packet.is_discard or packet.pts < 0:
                return Groups("hidden frames (edit list)")
            if packet.pts in seen:
                return Groups("two packets with the same time")
            seen.add(packet.pts)
            if packet.is_keyframe:
                groups.keys.append(packet.pts)
                groups.stored.append(packet.pts if packet.dts is None else packet.dts)
            elif not groups.keys or packet.pts < groups.keys[-1]:
                return Groups("open groups of pictures: frames shown before their key frame")
    except av.FFmpegError as error:
        return Groups(f"damaged: {error.strerror}")
    groups.times = sorted(seen)
    count = len(groups.times)
    if not count or incomplete(count, expected_frames(container)):
        return Groups(f"damaged: {count} packets for {expected_frames(container)} frames")
    groups.damage = warn_if_cut_off(
        container, count, (groups.times[-1] - groups.times[0]) * container.time_base + 1 / container.fps
    )
    return groups
