"""CLIP's vision transformer as a teacher."""

from jaxtyping import Float
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModel

from components.teachers.base import ImageTeacher, LoadedTeacher, Untrained
from components.teachers.pretrained import layers_needed, load_pretrained

RELEASED = "openai/clip-vit-large-patch14"


class CLIPTeacher(ImageTeacher):
    """CLIP, frame by frame (paper table 10, "CLIP").

    The paper does not say which CLIP; `RELEASED` is ViT-L/14, that of its encoder-based baselines.
    """

    @staticmethod
    def load(weights: str | Untrained | None, layer: int, canvas: int) -> LoadedTeacher:
        """Load or build the network, whose position embeddings are interpolated to the canvas."""
        if isinstance(weights, Untrained):
            config = CLIPVisionConfig(
                hidden_size=weights.width,
                intermediate_size=4 * weights.width,
                num_hidden_layers=layers_needed(layer, weights.layers),
                num_attention_heads=weights.heads,
                patch_size=weights.patch_size,
                image_size=canvas,
            )
            network = CLIPVisionModel(config)
        else:
            weights = RELEASED if weights is None else weights
            network = load_pretrained(CLIPVisionModel, ("clip", "clip_vision_model"), weights, layer)
        patch_size = network.config.patch_size
        assert isinstance(patch_size, int)
        return LoadedTeacher(network, network.config.hidden_size, patch_size, canvas)

    def tokens(self, pixels: Float[Tensor, "frames 3 canvas canvas"]) -> Float[Tensor, "frames patches width"]:
        """Return the features of the patches, without the class token."""
        hidden: Tensor = self.network(pixels, interpolate_pos_encoding=True).last_hidden_state
        return hidden[:, 1:]
