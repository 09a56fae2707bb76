"""Encoding of the position of a token in space and time: a slot of `LSTE`."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from components.stab.grid import Chunks


class PositionEncoding(nn.Module, ABC):
    """Adds an encoding of its position to every token: a slot of `LSTE`."""

    def __init__(self, width: int) -> None:
        """Initialise with the width, which every position encoding gets from the block.

        Args:
            width: size of a token.
        """
        super().__init__()

    @abstractmethod
    def forward(
        self, tokens: Float[Tensor, "video_frames rows columns width"], chunks: Chunks
    ) -> Float[Tensor, "video_frames rows columns width"]:
        """Return the tokens with their position encoding added."""


class DynamicPositionEncoding(PositionEncoding):
    """Depthwise 3x3x3 convolution over time and space, zero padding, added to its input (paper eq. 3; official: `dpe`).

    Initialisation: PyTorch's default for the weight, zero bias (official).
    """

    def __init__(self, width: int) -> None:
        """Build the weights.

        Args:
            width: size of a token.
        """
        super().__init__(width)
        convolution = nn.Conv3d(width, width, kernel_size=3, groups=width)
        self.weight = nn.Parameter(convolution.weight.detach())
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(
        self, tokens: Float[Tensor, "video_frames rows columns width"], chunks: Chunks
    ) -> Float[Tensor, "video_frames rows columns width"]:
        """Add the encoding; time does not cross the borders of chunks."""
        # One 2D convolution per time tap: frames stay packed, and its backward pass is about twice as fast as in 3D.
        images = tokens.permute(0, 3, 1, 2)
        before, here, after = (
            F.conv2d(images, taps, bias, padding=1, groups=len(self.weight)).permute(0, 2, 3, 1)
            for taps, bias in zip(self.weight.to(tokens.dtype).unbind(2), (None, self.bias, None), strict=True)
        )
        return chunks.add_neighbours(tokens + here, before, after)


class NoPositionEncoding(PositionEncoding):
    """No position encoding."""

    def forward(
        self, tokens: Float[Tensor, "video_frames rows columns width"], chunks: Chunks
    ) -> Float[Tensor, "video_frames rows columns width"]:
        """Return the tokens."""
        return tokens
