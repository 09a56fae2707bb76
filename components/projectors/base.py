"""The contract of a projector: features of an encoder into the space of a language model."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn


class Projector(nn.Module, ABC):
    """Maps every feature on its own: the family `projectors`.

    It runs before features are put in order, so that one which is used many times (a row token) is projected once.
    """

    @abstractmethod
    def forward(self, features: Float[Tensor, "features input_width"]) -> Float[Tensor, "features output_width"]:
        """Project each feature."""
