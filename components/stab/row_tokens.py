"""Row tokens: a token after every row tells the language model the shape of a frame."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from components.stab.base import RowTokens


class LearnedRowTokens(RowTokens):
    """One learned token ends every row of every frame (paper: `<row>`; official: `split_embedding`, from EVE).

    Initialisation: N(0, 0.02), below the size of visual tokens (official: N(0, 1)).
    """

    tokens_per_row = 1

    def __init__(self, width: int) -> None:
        """Build the token.

        Args:
            width: size of a token.
        """
        super().__init__()
        self.token = nn.Parameter(torch.randn(width) * 0.02)

    def forward(self, features: Float[Tensor, "features width"]) -> Float[Tensor, "features_and_token width"]:
        """Append the token to the features."""
        return torch.cat([features, self.token[None].to(features.dtype)])


class NoRowTokens(RowTokens):
    """Rows follow each other without a mark (paper table 4, "without <row> tokens")."""

    tokens_per_row = 0

    def __init__(self, width: int) -> None:
        """Take what all row tokens take.

        Args:
            width: size of a token.
        """
        super().__init__()

    def forward(self, features: Float[Tensor, "features width"]) -> Float[Tensor, "features width"]:
        """Return the features."""
        return features
