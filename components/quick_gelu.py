"""The activation of CLIP, which the official GSTRA also uses."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), an approximation of GELU."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Apply the activation to every element."""
        return x * torch.sigmoid(1.702 * x)
