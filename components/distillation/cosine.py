"""The paper's distillation: negative cosine similarity."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from components.distillation.feature_distillation import FeatureDistillation


class CosineDistillation(FeatureDistillation):
    """1 - cosine similarity of prediction and teacher (paper eq. 18 and 19; official: `VideoCompressor`)."""

    def distance(
        self, prediction: Float[Tensor, "tokens width"], teacher: Float[Tensor, "tokens width"]
    ) -> Float[Tensor, " tokens"]:
        """Return 1 - cosine similarity."""
        return 1 - functional.cosine_similarity(prediction, teacher, dim=-1)
