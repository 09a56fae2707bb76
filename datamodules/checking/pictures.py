"""Small pictures of a clip, for people to look at."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
from PIL import Image

from datamodules.video.container import Container
from datamodules.video.display import Orientation, square_pixels
from datamodules.video.image_reader import open_image
from datamodules.video.reader import VideoError
from datamodules.video.sampling import spread

HEIGHT = 108
WIDEST = 240
PICTURES = 4


def thumbnails(clip: tuple[Path, int]) -> list[bytes]:
    """Return JPEG pictures from all over a clip; as many as can be made of it.

    Args:
        clip: the file, and how many frames it has, at least 1.
    """
    path, frames = clip
    places = set(spread(frames, min(PICTURES, frames)))
    pictures: list[bytes] = []
    try:
        image = open_image(path)
        if image is not None:
            return [_jpeg(image.frames([0])[0])]
        container = Container(path)
    except VideoError:
        return pictures
    try:
        for number, frame in enumerate(container.frames()):
            if number in places:
                size = square_pixels(frame.width, frame.height, container.pixel_aspect)
                picture = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
                pictures.append(_jpeg(Orientation.of(frame, path)(picture)))
                if len(pictures) == len(places):
                    break
    except (av.FFmpegError, VideoError):
        pass  # damaged: those up to there
    finally:
        container.close()
    return pictures


def _jpeg(picture: np.ndarray) -> bytes:
    image = Image.fromarray(np.ascontiguousarray(picture))
    image.thumbnail((WIDEST, HEIGHT))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=72)
    return file.getvalue()
