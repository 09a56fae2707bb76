"""The contract between a video encoder and everything around it.

A batch of clips is packed: the frames of all clips follow each other along one axis, so clips may differ in frame count
and valid area without padding frames. What depends on these sizes (where each token goes, how many there are) is worked
out once per batch on the host, in `layout`; `forward` is then pure tensor work, without loops over clips and without
reading values back from the device.

Legend: F frames of all clips, H x W canvas pixels, C encoder width, N tokens of all clips.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn


@dataclass  # not frozen: Lightning sets the fields of a batch anew when it trains in bf16-true
class VideoShapes:
    """Sizes of a packed batch of clips, known on the host before any pixel is looked at.

    Attributes:
        frame_counts: frames of each clip, each >= 1.
        rectangles: valid area of every frame as (top, left, height, width) in patches.
        canvas: (rows, columns) of patches in the whole frame.
    """

    frame_counts: Int64[Tensor, "clips"]
    rectangles: Int64[Tensor, "frames 4"]
    canvas: tuple[int, int]


@dataclass
class TokenLayout:
    """Where an encoder's features go in the token sequence of a batch.

    Attributes:
        token_counts: tokens of each clip; plain integers, they stay on the host.
        order: for every token of the packed sequence, the row of the encoder's output that fills it. A row may be used
            many times (a row token) and is then projected only once.
        grid: places in the packed sequence of the tokens that stand for a part of one frame, frame by frame and row by
            row: what a teacher's features can be compared with. Empty if the encoder has none.
        grids: (rows, columns) of these tokens in every frame; no rows if the encoder has none.
    """

    token_counts: tuple[int, ...]
    order: Int64[Tensor, "tokens"]
    grid: Int64[Tensor, "grid_tokens"]
    grids: Int64[Tensor, "frames 2"]

    def to(self, device: torch.device | str) -> TokenLayout:
        """Return the same layout with its index tensors on `device`, copied without waiting for them."""
        moved = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                value = value.to(device, non_blocking=True)
            elif hasattr(value, "to"):
                value = value.to(device)
            moved[field.name] = value
        return type(self)(**moved)


class VideoEncoder(nn.Module, ABC):
    """Turns frames into visual features: the family `encoders`.

    Every encoder is built with a `width`, a `patch_size` and a `dropout`, which a scale file sets whatever the encoder.

    Attributes:
        width: size C of a feature.
        patch_size: side of a patch in pixels.
        stride: patches that are merged along each side into one token; a canvas must be a multiple of
            `patch_size * stride` pixels.
        canvas: side in pixels of the only canvas that it takes; None if any whole number of tokens will do.
        pixel_mean: per channel, in 0..1; also the colour of padding.
        pixel_std: per channel, in 0..1.
    """

    width: int
    patch_size: int
    stride: int
    canvas: int | None = None
    # Statistics of CLIP, which the official code uses for its encoder-free model too.
    pixel_mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    pixel_std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)

    @abstractmethod
    def layout(self, shapes: VideoShapes) -> TokenLayout:
        """Work out the token layout of a batch, on the host.

        Raises:
            ValueError: a size in `shapes` that this encoder cannot take.
        """

    @abstractmethod
    def forward(
        self, frames: Float[Tensor, "frames 3 height width"], layout: TokenLayout
    ) -> Float[Tensor, "features width"]:
        """Encode normalised frames; token k of the batch is row `layout.order[k]` of the result."""

    def units(self) -> list[nn.Module]:
        """Return large parts that run once per forward pass: what a sharded model gathers one at a time."""
        return []

    def normalize(self, frames: Tensor) -> Tensor:
        """Scale uint8 frames (F, 3, H, W) to 0..1 and standardise them, in the encoder's own dtype and device."""
        like = next(self.parameters())
        # Of float32 also where that is not the default: bf16-true.
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=frames.device).view(1, 3, 1, 1)
            for values in (self.pixel_mean, self.pixel_std)
        )
        # In place where the tensor is our own: no new memory for every step.
        return (frames.float() / 255).sub_(mean).div_(std).to(like.dtype)
