"""The smallest projector that learns: one linear layer."""

from jaxtyping import Float
from torch import Tensor, nn

from components.projectors.base import Projector


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
