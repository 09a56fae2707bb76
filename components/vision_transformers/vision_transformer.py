"""The interface of a vision transformer, which maps the frames of all clips to one of its hidden states.

Which tokens are kept, pooled or compared is decided by the encoder or teacher that contains it.
"""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from components.groups import Groups


class VisionTransformer(nn.Module, ABC):
    """Encodes frames patch by patch: the family `vision_transformers`, the slot `tower`.

    Attributes:
        width: size C of a token.
        patch_size: side of a patch in pixels.
        image_size: side of the frames in pixels; no other size is accepted, since it has position embeddings only for
            this one.
    """

    width: int
    patch_size: int
    image_size: int

    def units(self) -> list[nn.Module]:
        """Return the layers, each of which runs once per forward pass; a sharded model gathers them one at a time."""
        return [layer for part in self.children() if isinstance(part, nn.ModuleList) for layer in part]

    @abstractmethod
    def forward(
        self, frames: Float[Tensor, "frames 3 height width"], clips: Groups
    ) -> Float[Tensor, "frames tokens embedding_width"]:
        """Return the class token and the patch tokens, row by row, of every frame.

        Args:
            frames: normalised frames of all clips, concatenated.
            clips: frames of each clip, from `Groups.of_sizes(frame_counts)`, on the device of the frames.

        Raises:
            ValueError: the frames are not of size `image_size`.
        """
