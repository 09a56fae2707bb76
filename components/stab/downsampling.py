"""Spatial downsampling: fewer tokens for the language model, each made of a window of patches."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from components.groups import Groups
from components.stab.single_query_attention import SingleQueryAttention


class SpatialDownsampling(nn.Module, ABC):
    """Merges each window of stride x stride patches into one token (paper section 3.1, "LSD").

    Attributes:
        stride: side of a window in patches.
    """

    stride: int

    def __init__(self, width: int) -> None:
        """Initialise with the width, which every downsampling gets from the block.

        Args:
            width: size of a token.
        """
        super().__init__()

    @abstractmethod
    def forward(
        self, windows: Float[Tensor, "windows patches width"], frames: Groups
    ) -> Float[Tensor, "windows width"]:
        """Return one token per window, whose patches are row by row; `frames` groups the windows by frame."""


def check_stride(stride: int) -> int:
    """Return the stride of a downsampling.

    Raises:
        ValueError: the stride is not positive.
    """
    if stride < 1:
        raise ValueError(f"downsampling.init_args.stride: {stride} is not at least 1")
    return stride


class LSD(SpatialDownsampling):
    """Local spatial downsampling (paper section 3.1, eqs. 5 to 7; official: `local_attention`, from EVE).

    The average of a window attends to the patches of the window and is added to the result. The logits are scaled by
    width ** -0.5 although there are several heads (official). Initialisation: PyTorch's default.
    """

    def __init__(self, width: int, heads: int = 8, stride: int = 2) -> None:
        """Build the layers.

        Args:
            width: size of a token.
            heads: number of attention heads; must divide the width.
            stride: side of a window in patches.

        Raises:
            ValueError: the width is not a multiple of the heads, or the stride is not positive.
        """
        super().__init__(width)
        self.stride = check_stride(stride)
        self.attention = SingleQueryAttention(width, heads, scale=width**-0.5, bias=False)

    def forward(
        self, windows: Float[Tensor, "windows patches width"], frames: Groups
    ) -> Float[Tensor, "windows width"]:
        """Merge each window."""
        average = windows.mean(1)
        attended: Tensor = self.attention(average, windows)
        return average + attended

    def attention_weights(
        self, windows: Float[Tensor, "windows patches width"], frames: Groups
    ) -> Float[Tensor, "windows heads patches"]:
        """Return the attention weights of each window on its patches."""
        return self.attention.weights(windows.mean(1), self.attention.normalise(windows))


class LearnedQueryLSD(SpatialDownsampling):
    """LSD as in the text of the paper (eqs. 5 to 7): a learned query instead of the average attends to each window.

    In the text every window has its own query; since frames differ in their number of windows, all windows share one
    here. As in FSRA, the query is added to the result. Initialisation: query N(0, 0.02); PyTorch's default elsewhere.
    """

    def __init__(self, width: int, heads: int = 8, stride: int = 2) -> None:
        """Build the layers.

        Args:
            width: size of a token.
            heads: number of attention heads; must divide the width.
            stride: side of a window in patches.

        Raises:
            ValueError: the width is not a multiple of the heads, or the stride is not positive.
        """
        super().__init__(width)
        self.stride = check_stride(stride)
        self.query = nn.Parameter(torch.randn(width) * 0.02)
        self.attention = SingleQueryAttention(width, heads, scale=width**-0.5, bias=False)

    def forward(
        self, windows: Float[Tensor, "windows patches width"], frames: Groups
    ) -> Float[Tensor, "windows width"]:
        """Merge each window."""
        patches = self.attention.normalise(windows)
        weights = self._weights(patches)
        merged: Tensor = self.query + self.attention.project(weights.mT.to(patches.dtype) @ patches)
        return merged

    def attention_weights(
        self, windows: Float[Tensor, "windows patches width"], frames: Groups
    ) -> Float[Tensor, "windows heads patches"]:
        """Return the attention weights of each window on its patches."""
        return self._weights(self.attention.normalise(windows)).mT

    def _weights(self, patches: Float[Tensor, "windows patches width"]) -> Float[Tensor, "windows patches heads"]:
        # All windows share the query, so it is projected once.
        query = self.attention.query_in_token_space(self.query[None])[0]
        return (patches @ query.T).softmax(1)


class AveragePool(SpatialDownsampling):
    """Averages each window (paper table 4, "LSD -> average pool")."""

    def __init__(self, width: int, stride: int = 2) -> None:
        """Set the stride.

        Args:
            width: size of a token.
            stride: side of a window in patches.

        Raises:
            ValueError: the stride is not positive.
        """
        super().__init__(width)
        self.stride = check_stride(stride)

    def forward(
        self, windows: Float[Tensor, "windows patches width"], frames: Groups
    ) -> Float[Tensor, "windows width"]:
        """Merge each window."""
        return windows.mean(1)


class NoDownsampling(SpatialDownsampling):
    """Keeps every patch as a token, for a patch embedding with fewer patches (`HalfResolution`)."""

    stride = 1

    def forward(self, windows: Float[Tensor, "windows 1 width"], frames: Groups) -> Float[Tensor, "windows width"]:
        """Return the patches."""
        return windows[:, 0]
