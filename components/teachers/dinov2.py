"""DINOv2 as a teacher."""

from jaxtyping import Float
from torch import Tensor, nn
from transformers import Dinov2Config, Dinov2Model

from components.teachers.base import ImageTeacher, LoadedTeacher, Untrained
from components.teachers.pretrained import layers_needed, load_pretrained

RELEASED = "facebook/dinov2-large"


class DINOv2Teacher(ImageTeacher):
    """DINOv2, frame by frame (paper table 10, "DINOv2").

    The paper does not say which DINOv2; `RELEASED` is ViT-L/14, as large as the other teachers.
    """

    pixel_mean = (0.485, 0.456, 0.406)  # of ImageNet
    pixel_std = (0.229, 0.224, 0.225)

    @staticmethod
    def load(weights: str | Untrained | None, layer: int, canvas: int) -> LoadedTeacher:
        """Load or build the network, whose position embeddings are interpolated to the canvas."""
        if isinstance(weights, Untrained):
            config = Dinov2Config(
                hidden_size=weights.width,
                num_hidden_layers=layers_needed(layer, weights.layers),
                num_attention_heads=weights.heads,
                patch_size=weights.patch_size,
                image_size=canvas,
            )
            network = Dinov2Model(config)
        else:
            weights = RELEASED if weights is None else weights
            network = load_pretrained(Dinov2Model, ("dinov2",), weights, layer)
        network.set_submodule("layernorm", nn.Identity())  # the final norm is not part of a hidden state
        patch_size = network.config.patch_size
        assert isinstance(patch_size, int)
        return LoadedTeacher(network, network.config.hidden_size, patch_size, canvas)

    def tokens(self, pixels: Float[Tensor, "frames 3 canvas canvas"]) -> Float[Tensor, "frames patches width"]:
        """Return the features of the patches, without the class token."""
        hidden: Tensor = self.network(pixels).last_hidden_state
        return hidden[:, 1:]
