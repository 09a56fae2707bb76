"""No projector: the encoder already speaks the language model's width."""

from jaxtyping import Float
from torch import Tensor

from components.projectors.base import Projector


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
