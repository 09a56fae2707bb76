"""The activation of CLIP, and of the official GSTRA after it."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), an approximation of GELU."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Apply it to every element."""
        return x * torch.sigmoid(1.702 * x)
