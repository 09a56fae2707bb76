"""The interface of a view, and the clip that it draws."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import torch
from jaxtyping import Float, Int64, UInt8
from PIL import Image
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from components.encoders import TokenLayout, VideoEncoder
from datamodules.batch import Batch
from lightning_modules.video_language import VideoLanguageModel


@dataclass
class ShownClip:
    """A clip to show, on the host.

    Attributes:
        name: name of its file.
        title: title of its pictures.
        frames: frames as the model reads them, RGB.
        rectangles: valid area of every frame as (top, left, height, width) in patches.
        canvas: (rows, columns) of patches in a whole frame.
        stride: side in patches of the area that a token covers.
        layout: layout of its tokens.
    """

    name: str
    title: str
    frames: UInt8[Tensor, "frames 3 height width"]
    rectangles: Int64[Tensor, "frames 4"]
    canvas: tuple[int, int]
    stride: int
    layout: TokenLayout

    @classmethod
    def of(cls, batch: Batch, stride: int, layout: TokenLayout) -> ShownClip:
        """Return the clip of a batch of one, with folder and file name as its title."""
        clips, file = batch.clips, Path(batch.samples[0].video)
        title = f"{file.parent.name}/{file.name}"
        return cls(file.name, title, clips.frames, clips.shapes.rectangles, clips.shapes.canvas, stride, layout)

    @property
    def grid_frames(self) -> Int64[Tensor, " tokens"]:
        """Frame of every grid token, which covers a part of a frame."""
        return torch.repeat_interleave(self.layout.grids.prod(1))

    def token_patches(self) -> Int64[Tensor, "tokens patches"]:
        """Return the patches of every grid token, row by row, as indices in the flattened (frames, rows, columns).

        Tokens begin at the corner of a frame's rectangle, whatever the order in which an encoder computes them.
        """
        grids, frame = self.layout.grids, self.grid_frames
        within = torch.arange(len(frame)) - (grids.prod(1).cumsum(0) - grids.prod(1))[frame]
        columns = grids[frame, 1]
        top = self.rectangles[frame, 0] + within // columns * self.stride
        left = self.rectangles[frame, 1] + within % columns * self.stride
        corner = (frame * self.canvas[0] + top) * self.canvas[1] + left
        step = torch.arange(self.stride)
        return corner[:, None] + (step[:, None] * self.canvas[1] + step).flatten()

    def over_frames(self, values: Float[Tensor, " tokens"]) -> Float[Tensor, "frames rows columns"]:
        """Spread the values of grid tokens over their patches; NaN where there is no token."""
        patches = self.token_patches()
        return self.at_patches(patches.flatten(), values.repeat_interleave(patches.shape[1]))

    def at_patches(
        self, patches: Int64[Tensor, " some"], values: Float[Tensor, " some"]
    ) -> Float[Tensor, "frames rows columns"]:
        """Put values at indices of the flattened (frames, rows, columns); NaN at all others."""
        shape = (len(self.frames), *self.canvas)
        return torch.full(shape, torch.nan).flatten().index_copy(0, patches, values.float()).view(shape)


class HasEncoder(Protocol):
    """A model with a video encoder: one in training, or the same as a model of transformers."""

    @property
    def encoder(self) -> VideoEncoder:
        """Video encoder."""


class ClipView(ABC):
    """A view of a part of the model on a clip. It reads the part by forward hooks that exist only during the clip.

    Attributes:
        name: name of its pictures in TensorBoard and of its files.
    """

    name: str

    @classmethod
    @abstractmethod
    def of(cls, model: VideoLanguageModel) -> Self | None:
        """Return the view of a model; None if the model does not have the part."""

    @abstractmethod
    def watch(self) -> list[RemovableHandle]:
        """Register forward hooks on the part, and return their handles."""

    @abstractmethod
    def draw(self, clip: ShownClip) -> Image.Image | None:
        """Draw the view for the clip that was run last; None if it does not apply to the clip."""
