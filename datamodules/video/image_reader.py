"""A still picture as a clip of one frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from datamodules.video.reader import VideoError, VideoReader

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # of a JPEG with further pictures (MPO, gain maps), the first one is read
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")  # for a guess without opening the file
# Orientation in the EXIF data -> degrees counter-clockwise, and whether left and right are exchanged afterwards.
_EXIF = {2: (0, True), 3: (180, False), 4: (180, True), 5: (270, True), 6: (270, False), 7: (90, True), 8: (90, False)}
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")  # 8 bits at most: Pillow would clip the others


class ImageReader(VideoReader):
    """Reads a picture as one frame, turned upright; transparency is dropped, so hidden colours are shown.

    Attributes:
        format: name of the image format, such as `jpeg`.
    """

    name = "pillow"
    reason = "a still picture"
    fps = 1.0

    def __init__(self, path: Path, image: Image.Image) -> None:
        """Decode the picture.

        Args:
            path: path of the file.
            image: opened picture.

        Raises:
            VideoError: the picture has more than 8 bits per colour.
        """
        if image.mode not in _MODES:
            raise VideoError(path, f"a picture of the kind {image.mode}; save it with 8 bits per colour")
        self.path = path
        self.format = (image.format or "").lower()
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        self.rotation, self.mirrored = _EXIF.get(orientation or 1, (0, False))
        self._frame = np.array(ImageOps.exif_transpose(image).convert("RGB"))

    def __len__(self) -> int:
        return 1

    def times(self) -> Sequence[float]:
        """Return the time of the one frame."""
        return [0.0]

    def _read(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames height width 3"]:
        return np.stack([self._frame] * len(indices))

    def close(self) -> None:
        """Do nothing: the file is already closed."""


def open_image(path: Path) -> ImageReader | None:
    """Return a reader of the picture in a file, or None if the content of the file is not a still picture.

    Raises:
        VideoError: the picture is damaged or implausibly large.
    """
    if not path.is_file():
        return None
    try:
        with Image.open(path, formats=FORMATS) as image:
            still = getattr(image, "n_frames", 1) == 1 or image.format == "MPO"
            return ImageReader(path, image) if still else None
    except (UnidentifiedImageError, PermissionError):
        return None
    except VideoError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise VideoError(path, f"damaged picture: {error}") from error
