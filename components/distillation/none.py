"""No distillation: the text alone teaches."""

from collections.abc import Sequence

from jaxtyping import Float, Int64
from torch import Tensor

from components.distillation.base import Distillation


class NoDistillation(Distillation):
    """Has no parameters, asks for no hidden states and returns 0 (paper table 5, "none")."""

    def __init__(self, llm_width: int, llm_layers: int, teacher_width: int) -> None:
        """Take what all distillations take.

        Args:
            llm_width: width of the language model.
            llm_layers: layers of the language model.
            teacher_width: width of the teacher.
        """
        super().__init__()

    def forward(
        self,
        hidden_states: Sequence[Float[Tensor, "tokens llm_width"]],
        teacher: Float[Tensor, "tokens teacher_width"],
        frames: Int64[Tensor, " tokens"],
        frame_count: int,
    ) -> Float[Tensor, ""]:
        """Return 0."""
        return teacher.new_zeros(()).float()
