"""Frame aggregation: condenses a frame into one token."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from components.groups import Groups
from components.stab.single_query_attention import SingleQueryAttention


class FrameAggregator(nn.Module, ABC):
    """Condenses the downsampled tokens of a frame into one token, the frame context."""

    def __init__(self, width: int) -> None:
        """Initialise with the width, which every frame aggregator gets from the block.

        Args:
            width: size of a token.
        """
        super().__init__()

    @abstractmethod
    def forward(self, tokens: Float[Tensor, "windows width"], frames: Groups) -> Float[Tensor, "frames width"]:
        """Return one token per frame; `frames` groups the windows by frame."""


class FSRA(FrameAggregator):
    """Frame-wise spatial relationship aggregator (paper section 3.1, eqs. 8 to 10; official: `global_attention`).

    A class embedding, the same for all frames, attends to the downsampled tokens of a frame and is added to the result.
    The logits are scaled by width ** -0.5 although there are several heads (official). Initialisation: class embedding
    N(0, 0.02), so that the context token depends on the frame from the start (official: N(0, 1)); PyTorch's
    default elsewhere.
    """

    def __init__(self, width: int, heads: int = 8) -> None:
        """Build the layers.

        Args:
            width: size of a token.
            heads: number of attention heads; must divide the width.

        Raises:
            ValueError: the width is not a multiple of the heads.
        """
        super().__init__(width)
        self.class_embedding = nn.Parameter(torch.randn(width) * 0.02)
        self.attention = SingleQueryAttention(width, heads, scale=width**-0.5, bias=False)

    def forward(self, tokens: Float[Tensor, "windows width"], frames: Groups) -> Float[Tensor, "frames width"]:
        """Aggregate each frame."""
        query = self.class_embedding.expand(len(frames.members), -1)
        attended: Tensor = self.attention(query, frames.pad(tokens, 0.0), frames.visible)
        return query + attended

    def attention_weights(
        self, tokens: Float[Tensor, "windows width"], frames: Groups
    ) -> Float[Tensor, "windows heads"]:
        """Return the attention weights of each frame on its tokens."""
        query = self.class_embedding.expand(len(frames.members), -1)
        normalised = self.attention.normalise(frames.pad(tokens, 0.0))
        return frames.unpad(self.attention.weights(query, normalised, frames.visible).mT)


class NoFrameAggregator(FrameAggregator):
    """No frame context (paper table 4, "without FSRA"): returns zeros, which no fusion reads."""

    def forward(self, tokens: Float[Tensor, "windows width"], frames: Groups) -> Float[Tensor, "frames width"]:
        """Return zeros."""
        return tokens.new_zeros(len(frames.members), tokens.shape[-1])
