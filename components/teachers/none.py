"""No teacher, for a model without distillation."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from components.teachers.base import Teacher


class NoTeacher(Teacher):
    """Has no network and features without channels."""

    def __init__(self) -> None:
        super().__init__(nn.Identity(), width=0, patch_size=1, canvas=1)

    def forward(self, frames: Tensor, frame_counts: Sequence[int]) -> Float[Tensor, "frames 1 1 0"]:
        """Return features without channels, whatever the frames."""
        return frames.new_zeros(len(frames), 1, 1, 0).float()

    def features(self, pixels: Float[Tensor, "frames 3 1 1"], frame_counts: Sequence[int]) -> Tensor:
        """Return features without channels."""
        return pixels.new_zeros(len(pixels), 1, 1, 0)
