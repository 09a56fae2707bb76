"""No teacher, for a model without distillation."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from components.teachers.base import Teacher
from components.teachers.untrained import Untrained


class NoTeacher(Teacher):
    """Has no network and features without channels."""

    def __init__(self, weights: str | Untrained | None = None, layer: int = -2, canvas: int = 224) -> None:
        """Build nothing.

        Args:
            weights: has no use here; teachers take the same settings, so that a scale goes with any.
            layer: has no use here.
            canvas: has no use here.
        """
        super().__init__(nn.Identity(), width=0, patch_size=1, canvas=1)

    def forward(self, frames: Tensor, frame_counts: Sequence[int]) -> Float[Tensor, "frames 1 1 0"]:
        """Return features without channels, whatever the frames."""
        return frames.new_zeros(len(frames), 1, 1, 0).float()

    def features(self, pixels: Float[Tensor, "frames 3 1 1"], frame_counts: Sequence[int]) -> Tensor:
        """Return features without channels."""
        return pixels.new_zeros(len(pixels), 1, 1, 0)
