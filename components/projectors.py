"""Projectors map features to the width of the language model: the family `projectors`."""

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


class MLPProjector(Projector):
    """Linear, exact GELU, Linear (paper section 3.1; official: `mlp2x_gelu`). Initialisation: PyTorch's default."""

    def __init__(self, input_width: int, output_width: int) -> None:
        """Build the layers.

        Args:
            input_width: size of a feature.
            output_width: width of the language model, also between the layers.
        """
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(input_width, output_width), nn.GELU(), nn.Linear(output_width, output_width)
        )

    def forward(self, features: Float[Tensor, "features input_width"]) -> Float[Tensor, "features output_width"]:
        """Project each feature."""
        projected: Tensor = self.layers(features)
        return projected


class LinearProjector(Projector):
    """One linear layer, in PyTorch's default initialisation."""

    def __init__(self, input_width: int, output_width: int) -> None:
        """Build the layer.

        Args:
            input_width: size of a feature.
            output_width: width of the language model.
        """
        super().__init__()
        self.linear = nn.Linear(input_width, output_width)

    def forward(self, features: Float[Tensor, "features input_width"]) -> Float[Tensor, "features output_width"]:
        """Project each feature."""
        projected: Tensor = self.linear(features)
        return projected


class IdentityProjector(Projector):
    """Returns the features as they are."""

    def __init__(self, input_width: int, output_width: int) -> None:
        """Check that nothing needs projecting.

        Args:
            input_width: size of a feature.
            output_width: width of the language model; must be the same.

        Raises:
            ValueError: the widths differ.
        """
        super().__init__()
        if input_width != output_width:
            raise ValueError(
                f"IdentityProjector needs equal widths, but features have {input_width} and the language model "
                f"{output_width}; set model.projector to MLPProjector or LinearProjector"
            )

    def forward(self, features: Float[Tensor, "features width"]) -> Float[Tensor, "features width"]:
        """Return the features."""
        return features
