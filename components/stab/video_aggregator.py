"""Video aggregation: condenses a chunk of frames into one token."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from components.quick_gelu import QuickGELU
from components.stab.grid import Chunks, ValidArea
from components.stab.single_query_attention import SingleQueryAttention


class VideoAggregator(nn.Module, ABC):
    """Condenses a chunk of frames into one token, the video context."""

    def __init__(self, width: int, dropout: float = 0.5) -> None:
        """Initialise with the settings that every video aggregator gets from the block.

        Args:
            width: size of a token.
            dropout: dropout probability of its layers.
        """
        super().__init__()

    @abstractmethod
    def forward(
        self, encoded: Float[Tensor, "video_frames rows columns width"], chunks: Chunks, valid: ValidArea
    ) -> Float[Tensor, "chunks width"]:
        """Return one token per chunk; `valid` marks the cells that are not padding."""


class GSTRA(VideoAggregator):
    """Global spatio-temporal relationship aggregator (paper section 3.1, eqs. 11 to 13; official: `dec`).

    A learned query attends to every patch of its chunk, including those of padding; a feed-forward layer follows, and
    both are residual. The logits are scaled by head size ** -0.5. Initialisation: zero query (official), PyTorch's
    default elsewhere. The paper initialises the output layers to zero, but official training overwrites that.
    """

    def __init__(self, width: int, dropout: float = 0.5, heads: int = 8) -> None:
        """Build the layers.

        Args:
            width: size of a token.
            dropout: dropout probability in the feed-forward layer.
            heads: number of attention heads; must divide the width.

        Raises:
            ValueError: the width is not a multiple of the heads.
        """
        super().__init__(width, dropout)
        self.query = nn.Parameter(torch.zeros(width))
        self.attention = SingleQueryAttention(width, heads, scale=(width / max(heads, 1)) ** -0.5, bias=True)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 4 * width), QuickGELU(), nn.Dropout(dropout), nn.Linear(4 * width, width)
        )

    def forward(
        self, encoded: Float[Tensor, "video_frames rows columns width"], chunks: Chunks, valid: ValidArea
    ) -> Float[Tensor, "chunks width"]:
        """Aggregate each chunk."""
        tokens = self.attention.normalise(encoded.flatten(1, 2))
        weights = self._weights(tokens, chunks, valid)
        mixed = chunks.pad(weights.mT.to(tokens.dtype) @ tokens, 0.0).sum(1)
        video: Tensor = self.query + self.attention.project(mixed)
        video = video + self.feed_forward(self.feed_forward_norm(video))
        return video

    def attention_weights(
        self, encoded: Float[Tensor, "video_frames rows columns width"], chunks: Chunks, valid: ValidArea
    ) -> Float[Tensor, "video_frames cells heads"]:
        """Return the attention weights of each chunk on its cells, row by row; they add up to 1 per head and chunk."""
        return self._weights(self.attention.normalise(encoded.flatten(1, 2)), chunks, valid)

    def _weights(
        self, tokens: Float[Tensor, "video_frames cells width"], chunks: Chunks, valid: ValidArea
    ) -> Float[Tensor, "video_frames cells heads"]:
        query = self.attention.query_in_token_space(self.query[None])[0]
        # Only the small tensors (logits, weights, sums) are regrouped into chunks, not the patches.
        logits = chunks.pad(self.visible(tokens @ query.T, valid), -torch.inf)
        return chunks.unpad(logits.flatten(1, 2).softmax(1).view_as(logits))

    def visible(
        self, logits: Float[Tensor, "video_frames cells heads"], valid: ValidArea
    ) -> Float[Tensor, "video_frames cells heads"]:
        """Return the logits with minus infinity for hidden cells; here no cell is hidden (official)."""
        return logits


class MaskedGSTRA(GSTRA):
    """GSTRA that attends only to the valid cells of its chunk (paper section 4.1: "valid tokens").

    It has the parameters of `GSTRA` and computes the same for frames that fill their canvas.
    """

    def visible(
        self, logits: Float[Tensor, "video_frames cells heads"], valid: ValidArea
    ) -> Float[Tensor, "video_frames cells heads"]:
        """Hide padding."""
        return logits.masked_fill(~valid.inside.flatten(1)[..., None], -float("inf"))


class NoVideoAggregator(VideoAggregator):
    """No video context (paper table 4, "without GSTRA"): returns zeros, which no fusion reads."""

    def forward(
        self, encoded: Float[Tensor, "video_frames rows columns width"], chunks: Chunks, valid: ValidArea
    ) -> Float[Tensor, "chunks width"]:
        """Return zeros."""
        return encoded.new_zeros(len(chunks.members), encoded.shape[-1])
