"""Pictures of clips: frames in rows, layers painted over their patches, and a legend below."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from lightning_modules.views.clip_view import ShownClip

Array = np.ndarray[Any, np.dtype[Any]]
Colours = tuple[tuple[int, int, int], ...]

FRAME_SIDE = 192  # pixels of a shown frame: small ones are enlarged, large ones reduced
FRAMES_PER_ROW = 4
GAP = 6
LINE = 16  # height of a line of text
WIDTH = FRAMES_PER_ROW * (FRAME_SIDE + GAP) + GAP
FONT = ImageFont.load_default(12)
OPACITY = 0.6
# Viridis: brightness rises with the value, also for colour-blind readers.
RISING = ((68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129), (92, 200, 99),
          (170, 220, 50), (253, 231, 37))  # fmt: skip
DIVERGING = ((33, 102, 172), (103, 169, 207), (209, 229, 240), (247, 247, 247), (253, 219, 199), (239, 138, 98),
             (178, 24, 43))  # fmt: skip


def colour(values: Float[Array, "*shape"], low: float, high: float, scale: Colours) -> UInt8[Array, "*shape 3"]:
    """Return the colours of values on a scale from `low` to `high`; values outside are clipped."""
    place = np.clip((np.nan_to_num(values) - low) / max(high - low, 1e-12), 0, 1) * (len(scale) - 1)
    channels = [np.interp(place, np.arange(len(scale)), ends) for ends in zip(*scale, strict=True)]
    mixed: Array = np.stack(channels, -1).round()
    return mixed.astype(np.uint8)


def apart(count: int) -> UInt8[Array, "count 3"]:
    """Return `count` distinct colours, evenly spaced in hue."""
    hues = np.arange(count)[:, None] / count * 6 + np.array([0, 4, 2])
    channels: Array = np.clip(np.abs(hues % 6 - 3) - 1, 0, 1) * 215 + 40
    return channels.astype(np.uint8)


@dataclass
class Layer:
    """A layer of colours over the frames of a clip.

    Attributes:
        colours: colour of every patch.
        opacity: opacity of the colour, 0..1; 0 shows the frame in grey.
        notes: text under each frame.
    """

    colours: UInt8[Array, "frames rows columns 3"]
    opacity: Float[Array, "frames rows columns"]
    notes: Sequence[str]


@dataclass
class Swatch:
    """A line of a legend: a colour, or a scale of colours from low to high, followed by words."""

    colours: Colours
    words: str


def heat(
    values: Float[Tensor, "frames rows columns"],
    notes: Sequence[str],
    low: float,
    high: float,
    scale: Colours = RISING,
) -> Layer:
    """Return a heat map of values on a scale from `low` to `high`; NaN shows the frame in grey."""
    array = values.numpy()
    return Layer(colour(array, low, high, scale), np.where(np.isnan(array), 0, OPACITY), notes)


def times_alike(times: Float[Tensor, "frames rows columns"], notes: Sequence[str], whole: str) -> tuple[Layer, Swatch]:
    """Return a heat map of attention, and its legend.

    Args:
        times: attention weights as multiples of a uniform weight; NaN where there is none.
        notes: text under each frame.
        whole: noun for the tokens over which a weight sums to one, such as `frame`.
    """
    finite = times[~times.isnan()]
    low, high = min(float(finite.min()), 0.99), max(float(finite.max()), 1.01)  # rounding does not change the colour
    words = f"{low:.2f}x to {high:.2f}x; 1x if all in the {whole} counted alike"
    return heat(times, notes, low, high), Swatch(RISING, words)


def paint(frames: UInt8[Tensor, "frames 3 height width"], layer: Layer) -> UInt8[Array, "frames height width 3"]:
    """Paint a layer over the frames, each patch as a square of pixels."""
    rows, columns = layer.opacity.shape[1:]
    height, width = frames.shape[2] // rows, frames.shape[3] // columns
    grey = frames.float().mean(1)[..., None].numpy()
    colours, opacity = (
        values.repeat(height, axis=1).repeat(width, axis=2) for values in (layer.colours, layer.opacity[..., None])
    )
    painted: Array = (grey * (1 - opacity) + colours * opacity).round().astype(np.uint8)
    return painted


def film(
    clip: ShownClip, layers: Sequence[Layer], legend: Sequence[Swatch], caption: Sequence[str], most: int = 8
) -> Image.Image:
    """Draw a clip: rows of plain frames, the same frames with each layer, then the legend and the caption.

    Args:
        clip: clip to draw.
        layers: layers to paint over the frames.
        legend: lines of the legend.
        caption: further lines of text.
        most: maximum number of frames, evenly spaced.
    """
    chosen = torch.linspace(0, len(clip.frames) - 1, min(most, len(clip.frames))).long().tolist()
    plain = [f"frame {number + 1} of {len(clip.frames)}" for number in range(len(clip.frames))]
    pictures = [(clip.frames.permute(0, 2, 3, 1).numpy(), plain)]
    pictures += [(paint(clip.frames, layer), list(layer.notes)) for layer in layers]
    side, lines = _side(clip), [line for text in (clip.title, *caption) for line in textwrap.wrap(text, 125)]
    groups = [chosen[first : first + FRAMES_PER_ROW] for first in range(0, len(chosen), FRAMES_PER_ROW)]
    row_height = side[1] + LINE + GAP
    bottom = len(groups) * len(pictures) * row_height + GAP
    image = Image.new("RGB", (WIDTH, bottom + (len(legend) + len(lines)) * LINE + GAP), "white")
    draw = ImageDraw.Draw(image)
    for number, (group, (frames, notes)) in enumerate((group, picture) for group in groups for picture in pictures):
        for column, frame in enumerate(group):
            left, top = GAP + column * (FRAME_SIDE + GAP), GAP + number * row_height
            image.paste(Image.fromarray(frames[frame]).resize(side, Image.Resampling.BOX), (left, top))
            draw.text((left, top + side[1] + 1), notes[frame], fill="black", font=FONT)
    for number, swatch in enumerate(legend):
        _draw_swatch(image, draw, swatch, bottom + number * LINE)
    for number, line in enumerate(lines):
        draw.text((GAP, bottom + (len(legend) + number) * LINE), line, fill="black", font=FONT)
    return image


def _side(clip: ShownClip) -> tuple[int, int]:
    height, width = clip.frames.shape[2:]
    return FRAME_SIDE, round(FRAME_SIDE * height / width)


def _draw_swatch(image: Image.Image, draw: ImageDraw.ImageDraw, swatch: Swatch, top: int) -> None:
    width = LINE if len(swatch.colours) == 1 else FRAME_SIDE
    bar = colour(np.linspace(0, 1, width)[None].repeat(LINE - 4, 0), 0, 1, swatch.colours)
    image.paste(Image.fromarray(bar), (GAP, top + 1))
    draw.text((2 * GAP + width, top), swatch.words, fill="black", font=FONT)
