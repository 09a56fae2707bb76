"""Row tokens: a token after every row, which shows the language model the shape of a frame."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn


class RowTokens(nn.Module, ABC):
    """Marks the end of every row of tokens.

    Attributes:
        tokens_per_row: number of tokens after every row, 0 or 1.
    """

    tokens_per_row: int

    def __init__(self, width: int) -> None:
        """Initialise with the width, which every kind of row tokens gets from the block.

        Args:
            width: size of a token.
        """
        super().__init__()

    @abstractmethod
    def forward(self, features: Float[Tensor, "features width"]) -> Float[Tensor, "features_and_marks width"]:
        """Append the row token once; the order of the layout repeats it."""


class LearnedRowTokens(RowTokens):
    """One learned token ends every row of every frame (paper eqs. 15 and 16, `<row>`; official: `split_embedding`).

    Initialisation: N(0, 0.02), below the size of visual tokens (official: N(0, 1)).
    """

    tokens_per_row = 1

    def __init__(self, width: int) -> None:
        """Build the token.

        Args:
            width: size of a token.
        """
        super().__init__(width)
        self.token = nn.Parameter(torch.randn(width) * 0.02)

    def forward(self, features: Float[Tensor, "features width"]) -> Float[Tensor, "features_and_token width"]:
        """Append the token to the features."""
        return torch.cat([features, self.token[None].to(features.dtype)])


class NoRowTokens(RowTokens):
    """No token after rows (paper table 4, "without <row> tokens")."""

    tokens_per_row = 0

    def forward(self, features: Float[Tensor, "features width"]) -> Float[Tensor, "features width"]:
        """Return the features."""
        return features
