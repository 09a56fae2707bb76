"""Distillation by squared error, which the paper compares with the cosine."""

from jaxtyping import Float
from torch import Tensor

from components.distillation.feature_distillation import FeatureDistillation


class MSEDistillation(FeatureDistillation):
    """Mean squared error over the channels of prediction and teacher (paper table 5, "MSE"), with the same head."""

    def distance(
        self, prediction: Float[Tensor, "tokens width"], teacher: Float[Tensor, "tokens width"]
    ) -> Float[Tensor, " tokens"]:
        """Return the mean squared error."""
        return (prediction - teacher).square().mean(-1)
