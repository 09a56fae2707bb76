"""Projectors map features to the width of the language model: the family `projectors`."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn


class Projector(nn.Module, ABC):
    """Maps every feature separately to the width of the language model: the family `projectors`.

    It runs before features are put in order, so that a feature that is used many times (a row token) is projected only
    once.
    """

    @abstractmethod
    def forward(self, features: Float[Tensor, "features input_width"]) -> Float[Tensor, "features output_width"]:
        """Project every feature."""


class MLPProjector(Projector):
    """Linear, exact GELU, Linear (paper section 3.1; official: `mlp2x_gelu`). Initialisation: PyTorch's default."""

    def __init__(self, input_width: int, output_width: int) -> None:
        """Build the layers.

        Args:
            input_width: size of a feature.
            output_width: width of the language model, which is also the width between the layers.
        """
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(input_width, output_width), nn.GELU(), nn.Linear(output_width, output_width)
        )

    def forward(self, features: Float[Tensor, "features input_width"]) -> Float[Tensor, "features output_width"]:
        """Project every feature."""
        projected: Tensor = self.layers(features)
        return projected


class LinearProjector(Projector):
    """One linear layer with PyTorch's default initialisation."""

    def __init__(self, input_width: int, output_width: int) -> None:
        """Build the layer.

        Args:
            input_width: size of a feature.
            output_width: width of the language model.
        """
        super().__init__()
        self.linear = nn.Linear(input_width, output_width)

    def forward(self, features: Float[Tensor, "features input_width"]) -> Float[Tensor, "features output_width"]:
        """Project every feature."""
        projected: Tensor = self.linear(features)
        return projected


class IdentityProjector(Projector):
    """Returns the features unchanged."""

    def __init__(self, input_width: int, output_width: int) -> None:
        """Check that the widths are equal.

        Args:
            input_width: size of a feature.
            output_width: width of the language model; must equal `input_width`.

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
