"""The dense connection: what the spatial downsampling reads beside the encoded patches."""

from jaxtyping import Float, Int64
from torch import Tensor

from components.stab.base import Connection


class DenseConnection(Connection):
    """Adds the patch embeddings once more (official; its own comment calls that optional)."""

    def forward(
        self,
        patches: Float[Tensor, "frames rows columns width"],
        encoded: Float[Tensor, "video_frames rows columns width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "frames rows columns width"]:
        """Add the encoded patches to the patch embeddings."""
        return patches.index_add(0, video_frames, encoded.to(patches.dtype))


class NoDenseConnection(Connection):
    """Hands on the encoded patches alone."""

    def forward(
        self,
        patches: Float[Tensor, "frames rows columns width"],
        encoded: Float[Tensor, "video_frames rows columns width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "frames rows columns width"]:
        """Put the encoded patches in the place of the patch embeddings."""
        return patches.index_copy(0, video_frames, encoded.to(patches.dtype))
