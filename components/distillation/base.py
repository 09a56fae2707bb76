"""The contract of distillation: what a loss between hidden states and a teacher's features is given.

Everything is packed: only the tokens of the grids (no context tokens, row tokens or text), of all frames of all clips
one after the other. Frames that are not there (the official code pads short clips) are simply left out; there they add
a term without value or gradient.

Legend: N grid tokens of all frames.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from jaxtyping import Float, Int64
from torch import Tensor, nn


class Distillation(nn.Module, ABC):
    """A loss that pulls the language model's visual positions towards a teacher: the family `distillation`.

    Attributes:
        hidden_layers: hidden states of the language model that `forward` takes, in that order; 0 is the input, n the
            output of layer n, the last one after the final norm. Empty: nothing is needed, not even a teacher.
        weight: factor of the loss beside the cross-entropy of the text. `forward` leaves it out, so that losses of runs
            with different weights can be compared.
    """

    hidden_layers: tuple[int, ...] = ()
    weight: float = 0.0

    def __init__(self, llm_width: int, llm_layers: int, teacher_width: int) -> None:
        """Take what the model hands to every distillation; settings of its own follow.

        Args:
            llm_width: width of the language model.
            llm_layers: layers of the language model.
            teacher_width: width of the teacher.
        """
        super().__init__()

    @abstractmethod
    def forward(
        self,
        hidden_states: Sequence[Float[Tensor, "tokens llm_width"]],
        teacher: Float[Tensor, "tokens teacher_width"],
        frames: Int64[Tensor, " tokens"],
        frame_count: int,
    ) -> Float[Tensor, ""]:
        """Return the loss in float32, before `weight`.

        Args:
            hidden_states: the `hidden_layers`, at the grid tokens.
            teacher: the teacher's feature that each token is compared with (see `align`).
            frames: frame of each token, 0 to frame_count - 1; every frame has at least one.
            frame_count: frames of all clips, each of which counts alike, however many tokens it has.

        Raises:
            ValueError: the teacher's features have another width than the one given to the constructor.
        """


class NoDistillation(Distillation):
    """Has no parameters, asks for no hidden states and returns 0 (paper table 5, "none")."""

    def forward(
        self,
        hidden_states: Sequence[Float[Tensor, "tokens llm_width"]],
        teacher: Float[Tensor, "tokens teacher_width"],
        frames: Int64[Tensor, " tokens"],
        frame_count: int,
    ) -> Float[Tensor, ""]:
        """Return 0."""
        return teacher.new_zeros(()).float()
