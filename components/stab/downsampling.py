"""Spatial downsampling: fewer tokens for the language model, each made of a window of patches."""

from jaxtyping import Float
from torch import Tensor

from components.stab.base import SpatialDownsampling
from components.stab.single_query_attention import SingleQueryAttention


def _check_stride(stride: int) -> int:
    if stride < 1:
        raise ValueError(f"downsampling.init_args.stride: {stride} is not at least 1")
    return stride


class LSD(SpatialDownsampling):
    """Local spatial downsampling (paper section 3.1, "LSD"; official: `local_attention`, from EVE).

    The average of a window attends to the patches of the window and is added to the result. The logits are scaled by
    width ** -0.5 although there are several heads (official). Initialisation: PyTorch's default.
    """

    def __init__(self, width: int, heads: int = 8, stride: int = 2) -> None:
        """Build the layers.

        Args:
            width: size of a token.
            heads: attention heads; must divide the width.
            stride: side of a window in patches.

        Raises:
            ValueError: the width is not a multiple of the heads, or the stride is not positive.
        """
        super().__init__()
        self.stride = _check_stride(stride)
        self.attention = SingleQueryAttention(width, heads, scale=width**-0.5, bias=False)

    def forward(self, windows: Float[Tensor, "windows patches width"]) -> Float[Tensor, "windows width"]:
        """Merge each window."""
        average = windows.mean(1)
        seen: Tensor = self.attention(average, windows)
        return average + seen


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
        super().__init__()
        self.stride = _check_stride(stride)

    def forward(self, windows: Float[Tensor, "windows patches width"]) -> Float[Tensor, "windows width"]:
        """Merge each window."""
        return windows.mean(1)
