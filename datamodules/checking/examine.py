"""Examines one clip from its first byte to its last frame."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8
from PIL import Image

from components.files import open_regular
from datamodules.video.clip_facts import ClipFacts
from datamodules.video.container import Container
from datamodules.video.decord_reader import DecordReader
from datamodules.video.display import Orientation, square_pixels
from datamodules.video.image_reader import ImageReader, open_image
from datamodules.video.open import find_groups
from datamodules.video.pyav_reader import PyAVReader
from datamodules.video.reader import VideoError
from datamodules.video.scan import Scan

SAMPLED = 8  # of each longer clip, at least this many frames and fewer than twice as many are sampled for statistics
SMALL = (64, 36)  # width and height of the sampled frames

Grey = UInt8[np.ndarray, "height width"]


def examine(clip: tuple[Path, str]) -> ClipFacts:
    """Return the facts about a clip; a file that cannot be read is not an error here but one of the facts.

    Args:
        clip: file of the clip, and its path below the media root.
    """
    file, name = clip
    facts = ClipFacts(name, bytes=0, modified_ns=0)
    try:
        status = file.stat()
        facts = replace(facts, bytes=status.st_size, modified_ns=status.st_mtime_ns)
        with open_regular(file) as content:
            facts = replace(facts, sha256=hashlib.file_digest(content, "sha256").hexdigest())
        image = open_image(file)
        if image is not None:
            return _of_image(facts, image)
        container = Container(file)
    except OSError as error:
        return replace(facts, error=f"cannot be read: {error.strerror}")
    except VideoError as error:
        return replace(facts, error=error.reason)
    try:
        return _decoded(_from_header(facts, container), container)
    except VideoError as error:
        return replace(_from_header(facts, container), error=error.reason)
    finally:
        container.close()


def _of_image(facts: ClipFacts, image: ImageReader) -> ClipFacts:
    (picture,) = image.frames([0])
    grey: Grey = np.array(Image.fromarray(picture).convert("L").resize(SMALL))
    looks: dict[str, Any] = {**_looks([grey])}
    return replace(
        facts,
        container=image.format,
        codec=image.format,
        width=picture.shape[1],
        height=picture.shape[0],
        header_frames=1,
        frames=1,
        fps=image.fps,
        duration=1 / image.fps,
        seconds=1 / image.fps,
        reader=image.name,
        reader_reason=image.reason,
        **looks,
    )


def _from_header(facts: ClipFacts, container: Container) -> ClipFacts:
    return replace(
        facts,
        container=container.format,
        codec=container.codec,
        width=container.width,
        height=container.height,
        pixel_aspect=round(container.pixel_aspect, 4),
        header_frames=container.header_frames,
        fps=container.fps,
        duration=round(container.duration, 4),
    )


def _decoded(facts: ClipFacts, container: Container) -> ClipFacts:
    """Return the facts completed by decoding all frames.

    Raises:
        VideoError: no frame can be decoded, or a reader would refuse the frames.
    """
    scan, to_grey = Scan(container), VideoReformatter()
    sizes: set[tuple[int, int]] = set()
    pictures: list[Grey] = []
    stride, orientation = 1, Orientation()
    for frame in scan.frames():
        is_sampled = (scan.count - 1) % stride == 0
        if is_sampled:
            orientation = Orientation.of(frame, container.path)
        sizes.add(orientation.size(*square_pixels(frame.width, frame.height, container.pixel_aspect)))
        if is_sampled:
            pictures.append(_small(frame, to_grey))
            if len(pictures) == 2 * SAMPLED:
                pictures, stride = pictures[::2], 2 * stride
    (width, height), *others = sorted(sizes)
    if others:
        raise VideoError(container.path, f"the picture size changes within the clip: {sorted(sizes)}")
    if not scan.fps:
        raise VideoError(container.path, "neither the header nor the frames' times give a frame rate")
    more: dict[str, Any] = (
        _timing(scan.times, container.time_base) | _looks(pictures) | _reader(container, scan.count, orientation)
    )
    return replace(
        facts,
        width=width,
        height=height,
        rotation=orientation.degrees,
        mirrored=orientation.mirrored,
        frames=scan.count,
        fps=scan.fps,
        seconds=round(scan.span + 1 / scan.fps, 4),
        damage=scan.damage().removeprefix("damaged: "),
        **more,
    )


def _small(frame: VideoFrame, to_grey: VideoReformatter) -> Grey:
    grey: Grey = to_grey.reformat(frame, *SMALL, format="gray", threads=1).to_ndarray()
    return grey


def _timing(times: Sequence[float], tick: float) -> dict[str, Any]:
    """Return whether the steps differ by more than the rounding of times to ticks, and the drift that results."""
    steps = np.diff(times)
    if len(steps) < 2 or np.ptp(steps) <= 2.1 * tick:
        return {}
    even = np.linspace(times[0], times[-1], len(times))
    return {"uneven": True, "drift": round(float(np.abs(times - even).max() / (times[-1] - times[0])), 4)}


def _looks(pictures: Sequence[Grey]) -> dict[str, float]:
    greys = np.stack(pictures).astype(np.float32)
    changes = np.abs(np.diff(greys, axis=0)).mean(axis=(1, 2))
    looks = {
        "brightness": greys.mean(axis=(1, 2)).max(),
        "contrast": greys.std(axis=(1, 2)).max(),
        "change": changes.max(initial=0),
    }
    return {name: round(float(value), 2) for name, value in looks.items()}


def _reader(container: Container, count: int, orientation: Orientation) -> dict[str, str]:
    """Return the reader that is exact; one that seeks must count as many frames as can be decoded."""
    obstacle = find_groups(container).obstacle
    if not obstacle and (orientation.mirrored or container.pixel_aspect != 1):
        obstacle = "mirrored, or pixels that are not square"
    if not obstacle:
        try:
            with DecordReader(container.path, "", lambda: PyAVReader(container)) as reader:
                if len(reader) != count:
                    obstacle = f"decord counts {len(reader)} frames, but {count} can be decoded"
        except VideoError as error:
            obstacle = error.reason
    return {"reader": "pyav" if obstacle else "decord", "reader_reason": obstacle or "long, and exact when seeking"}
