"""The projector of Video-Panda: two linear layers."""

from jaxtyping import Float
from torch import Tensor, nn

from components.projectors.base import Projector


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
