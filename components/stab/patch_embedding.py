"""Patch embedding: the single layer that replaces a vision encoder."""

from jaxtyping import Float
from torch import Tensor, nn


class PatchEmbedding(nn.Module):
    """Maps every patch of pixels to a token (paper eq. 1; official: Conv2d with kernel = stride, no bias).

    Initialisation: PyTorch's default.
    """

    def __init__(self, width: int, patch_size: int) -> None:
        """Build the projection.

        Args:
            width: size of a token.
            patch_size: side of a patch in pixels.
        """
        super().__init__()
        self.patch_size = patch_size  # in pixels of the canvas
        self.projection = nn.Linear(3 * patch_size**2, width, bias=False)

    def forward(
        self, frames: Float[Tensor, "frames 3 height width"]
    ) -> Float[Tensor, "frames rows columns embedding_width"]:
        """Embed the patches of all frames.

        Raises:
            ValueError: the size of the frames is not a multiple of the patch size.
        """
        tokens: Tensor = self.projection(self.patches(frames).flatten(3))
        return tokens

    def patches(
        self, frames: Float[Tensor, "frames 3 height width"]
    ) -> Float[Tensor, "frames rows columns 3 side side"]:
        """Cut frames into patches.

        Raises:
            ValueError: the size of the frames is not a multiple of the patch size.
        """
        side = self.patch_size
        if frames.shape[2] % side or frames.shape[3] % side:
            raise ValueError(
                f"frames of {frames.shape[2]} x {frames.shape[3]} pixels are not whole patches of {side} x {side}; "
                f"choose a canvas (data) that is a multiple of these, or another model.encoder.init_args.patch_size"
            )
        # (F, 3, rows, side, columns, side) -> (F, rows, columns, 3, side, side): the layout that all later layers read,
        # and one matrix product instead of a convolution.
        patches: Tensor = frames.unflatten(3, (-1, side)).unflatten(2, (-1, side)).permute(0, 2, 4, 1, 3, 5)
        return patches


class HalfResolution(PatchEmbedding):
    """Embeds frames at half resolution, in place of downsampling (paper table 9, "half input resolution").

    A patch has the usual number of pixels and so covers twice the side of the canvas, which gives as many tokens as
    downsampling with stride 2. Pixels are averaged 2 x 2, an antialiased reduction that does not mix padding into the
    picture.
    """

    def __init__(self, width: int, patch_size: int) -> None:
        """Build the projection.

        Args:
            width: size of a token.
            patch_size: side of a patch in pixels of the halved frame.
        """
        super().__init__(width, patch_size)
        self.patch_size = 2 * patch_size

    def patches(
        self, frames: Float[Tensor, "frames 3 height width"]
    ) -> Float[Tensor, "frames rows columns 3 half_side half_side"]:
        """Cut frames into patches and halve the resolution of these.

        Raises:
            ValueError: the size of the frames is not a multiple of the patch size.
        """
        halved: Tensor = super().patches(frames).unflatten(5, (-1, 2)).unflatten(4, (-1, 2)).mean((5, 7))
        return halved
