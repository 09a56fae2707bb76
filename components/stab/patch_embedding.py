"""Patch embedding: the one layer that stands where other models have a vision encoder."""

from jaxtyping import Float
from torch import Tensor, nn


class PatchEmbedding(nn.Module):
    """Maps every patch of pixels to a token (paper section 3.1; official: Conv2d with kernel = stride, no bias).

    Initialisation: PyTorch's default.
    """

    def __init__(self, width: int, patch_size: int) -> None:
        """Build the projection.

        Args:
            width: size of a token.
            patch_size: side of a patch in pixels.
        """
        super().__init__()
        self.patch_size = patch_size
        self.projection = nn.Linear(3 * patch_size**2, width, bias=False)

    def forward(
        self, frames: Float[Tensor, "frames 3 height width"]
    ) -> Float[Tensor, "frames rows columns embedding_width"]:
        """Embed the patches of all frames.

        Raises:
            ValueError: the frames are not whole patches.
        """
        side = self.patch_size
        if frames.shape[2] % side or frames.shape[3] % side:
            raise ValueError(
                f"frames of {frames.shape[2]} x {frames.shape[3]} pixels are not whole patches of {side} x {side}; "
                f"choose a canvas (data) that is a multiple of model.encoder.init_args.patch_size"
            )
        # (F, 3, rows, side, columns, side) -> (F, rows, columns, 3, side, side): tokens last, as all that follows reads
        # them, and one matrix product instead of a convolution.
        patches = frames.unflatten(3, (-1, side)).unflatten(2, (-1, side)).permute(0, 2, 4, 1, 3, 5)
        tokens: Tensor = self.projection(patches.flatten(3))
        return tokens
