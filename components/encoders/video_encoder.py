"""The interface of a video encoder.

A batch of clips is packed: the frames of all clips are concatenated along one axis, so clips may differ in frame count
and valid area without padding frames. Everything that depends on these sizes (the number of tokens and their positions)
is computed once per batch on the host, in `layout`; `forward` then consists of tensor operations only, without loops
over clips and without reading values back from the device.

Legend: F frames of all clips, H x W canvas pixels, C encoder width, N tokens of all clips.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from components.pixels import standardise


@dataclass  # not frozen: Lightning assigns the fields of a batch when it trains in bf16-true
class VideoShapes:
    """The sizes of a packed batch of clips, known on the host before the frames are encoded.

    Attributes:
        frame_counts: number of frames of each clip, at least 1.
        rectangles: valid area of every frame as (top, left, height, width) in patches.
        canvas: (rows, columns) of patches in the whole frame.
    """

    frame_counts: Int64[Tensor, "clips"]
    rectangles: Int64[Tensor, "frames 4"]
    canvas: tuple[int, int]


@dataclass
class TokenLayout:
    """The positions of an encoder's features in the token sequence of a batch.

    Attributes:
        token_counts: number of tokens of each clip; plain integers, which stay on the host.
        order: for every token of the packed sequence, the row of the encoder's output that fills it. A row may be used
            many times (a row token) and is then projected only once.
        grid: positions in the packed sequence of the tokens for a part of one frame, frame by frame and row by row,
            which can be compared with features of a teacher. Empty if the encoder has no such tokens.
        grids: (rows, columns) of these tokens in every frame; without rows if the encoder has no such tokens.
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

    Every encoder takes a `width`, a `patch_size` and a `dropout`, since scale files set these for any encoder.

    Attributes:
        width: size C of a feature.
        patch_size: side of a patch in pixels.
        stride: number of patches along each side that are merged into one token; a canvas must be a multiple of
            `patch_size * stride` pixels.
        canvas: side in pixels of the only canvas that the encoder accepts; None if any whole number of tokens fits.
        pixel_mean: mean of the pixels in 0..1, by channel; also the colour of padding.
        pixel_std: standard deviation of the pixels in 0..1, by channel.
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
        """Compute the token layout of a batch, on the host.

        Raises:
            ValueError: the encoder does not support a size in `shapes`.
        """

    @abstractmethod
    def forward(
        self, frames: Float[Tensor, "frames 3 height width"], layout: TokenLayout
    ) -> Float[Tensor, "features width"]:
        """Encode normalised frames; token k of the batch is row `layout.order[k]` of the result."""

    def units(self) -> list[nn.Module]:
        """Return large parts that run once per forward pass; a sharded model gathers them one at a time."""
        return []

    def normalize(self, frames: Tensor) -> Tensor:
        """Scale uint8 frames (F, 3, H, W) to 0..1 and standardise them, in the dtype of the encoder."""
        return standardise(frames, self.pixel_mean, self.pixel_std, next(self.parameters()).dtype)
