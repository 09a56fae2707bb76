"""The canvases that a clip is fitted to: the model's, and the teacher's where one is asked."""

from __future__ import annotations

from components.encoders.base import VideoEncoder
from components.teachers import Teacher
from datamodules.video.fit import Fit
from datamodules.video.geometry import CanvasGeometry
from datamodules.video.resizing import Resizing


def canvases(
    canvas: int, encoder: VideoEncoder, teacher: Teacher | None, resizing: Resizing, fit: Fit
) -> list[CanvasGeometry]:
    """Return how frames are fitted to the model's canvas, and then to the teacher's.

    Args:
        canvas: side of the model's canvas in pixels.
        encoder: says how large its patches are, how many make a token, and what colour padding has.
        teacher: says the same, and how large its own canvas is; None if nobody is asked.
        resizing: how pictures are brought to their size on both.
        fit: which size that is on both.

    Raises:
        ValueError: the canvas does not suit the encoder, or the teacher's does not suit it.
    """
    if encoder.canvas not in (None, canvas):
        raise ValueError(
            f"data.init_args.canvas is {canvas}, but {type(encoder).__name__} takes {encoder.canvas} only "
            "(image_size of its tower)"
        )
    fill = _colour(encoder.pixel_mean)
    geometries = [CanvasGeometry(canvas, encoder.patch_size, encoder.stride, fill, resizing, fit)]
    if teacher is not None:
        # Where the teacher has a whole number of patches per token, valid areas agree to the patch.
        tokens, patches = canvas // (encoder.patch_size * encoder.stride), teacher.grid[0]
        stride = patches // tokens if patches % tokens == 0 else 1
        fill = _colour(teacher.pixel_mean)
        geometries.append(CanvasGeometry(teacher.canvas, teacher.patch_size, stride, fill, resizing, fit))
    return geometries


def _colour(share: tuple[float, float, float]) -> tuple[int, int, int]:
    red, green, blue = (int(255 * value) for value in share)
    return red, green, blue
