"""The contract of a vision transformer: frames of all clips in, one of its hidden states out.

It encodes and decides nothing: which tokens are kept, pooled or compared is up to the encoder or teacher that holds it.
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
        image_size: side in pixels of the only frames it takes, because it knows these positions and no others.
    """

    width: int
    patch_size: int
    image_size: int

    def units(self) -> list[nn.Module]:
        """Return the layers, each of which runs once per forward pass: what a sharded model gathers one at a time."""
        return [layer for part in self.children() if isinstance(part, nn.ModuleList) for layer in part]

    @abstractmethod
    def forward(
        self, frames: Float[Tensor, "frames 3 height width"], clips: Groups
    ) -> Float[Tensor, "frames tokens embedding_width"]:
        """Return the class token and the patch tokens, row by row, of every frame.

        Args:
            frames: normalised, the clips one after the other.
            clips: the frames of each clip, `Groups.of_sizes(frame_counts)`: made on the host, used on the device.

        Raises:
            ValueError: frames of another size than `image_size`.
        """
