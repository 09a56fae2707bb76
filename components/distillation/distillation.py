"""Distillation: losses between hidden states of the language model and a teacher's features (paper eqs. 18 and 19).

Everything is packed: only the tokens of the grids (no context tokens, row tokens or text), of all frames of all clips
one after the other. Frames that are not there (the official code pads short clips) are simply left out; there they add
a term without value or gradient.

Legend: N grid tokens of all frames.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from components.distillation.alignment_head import AlignmentHead


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


class FeatureDistillation(Distillation):
    """Predicts the teacher's features with an `AlignmentHead` and takes the mean distance to them, frame by frame."""

    def __init__(
        self,
        llm_width: int,
        llm_layers: int,
        teacher_width: int,
        every: int = 4,
        layers: list[int] | None = None,
        heads: int = 8,
        weight: float = 1.0,
    ) -> None:
        """Build the head.

        Args:
            llm_width: width of the language model.
            llm_layers: layers of the language model.
            teacher_width: width of the teacher.
            every: distance of the hidden states that the head reads, from the last one down; the input is always the
                final one. 4 is official: 32, 28, ..., 4, 0 of 32 layers.
            layers: exactly these hidden states instead, at least two; the first one asks the others. Counted from 0,
                the input, or from -1, the last one.
            heads: attention heads of the head; must divide the teacher's width.
            weight: factor of the loss beside the cross-entropy of the text.

        Raises:
            ValueError: there is no teacher, the weight is negative, a hidden state is not one of the language model's
                or is named twice, there are fewer than two, or the heads do not divide the teacher's width.
        """
        super().__init__(llm_width, llm_layers, teacher_width)
        if teacher_width == 0:
            raise ValueError(
                f"model.teacher is NoTeacher and model.distillation is {type(self).__name__}; set a teacher, or "
                "NoDistillation"
            )
        if not (weight >= 0 and math.isfinite(weight)):
            raise ValueError(f"model.distillation.init_args.weight: {weight} is not a number from 0 on")
        self.weight = weight
        self.hidden_layers = _spread(llm_layers, every) if layers is None else _chosen(llm_layers, layers)
        self.teacher_width = teacher_width
        self.head = AlignmentHead(llm_width, teacher_width, len(self.hidden_layers), heads)

    @abstractmethod
    def distance(
        self, prediction: Float[Tensor, "tokens width"], teacher: Float[Tensor, "tokens width"]
    ) -> Float[Tensor, " tokens"]:
        """Return how far each prediction is from the teacher's feature."""

    def forward(
        self,
        hidden_states: Sequence[Float[Tensor, "tokens llm_width"]],
        teacher: Float[Tensor, "tokens teacher_width"],
        frames: Int64[Tensor, " tokens"],
        frame_count: int,
    ) -> Float[Tensor, ""]:
        """Return the mean over frames of the mean distance over their tokens."""
        if teacher.shape[-1] != self.teacher_width:
            raise ValueError(
                f"the teacher's features have width {teacher.shape[-1]}, but model.distillation was built for "
                f"{self.teacher_width}"
            )
        distance = self.distance(self.head(hidden_states).float(), teacher.float())
        per_frame = distance.new_zeros(2, frame_count).index_add(
            1, frames, torch.stack([distance, torch.ones_like(distance)])
        )
        return (per_frame[0] / per_frame[1]).mean()


def _spread(llm_layers: int, every: int) -> tuple[int, ...]:
    if every < 1:
        raise ValueError(f"model.distillation.init_args.every: {every} is not at least 1")
    return (*range(llm_layers, 0, -every), 0)


def _chosen(llm_layers: int, layers: list[int]) -> tuple[int, ...]:
    where = f"model.distillation.init_args.layers: {layers}"
    outside = [layer for layer in layers if not -llm_layers - 1 <= layer <= llm_layers]
    if outside:
        raise ValueError(
            f"{where}: the language model has the hidden states 0 (its input) to {llm_layers}, but no "
            f"{', '.join(map(str, outside))}"
        )
    chosen = tuple(layer % (llm_layers + 1) for layer in layers)
    if len(set(chosen)) != len(chosen):
        raise ValueError(f"{where} names a hidden state twice")
    if len(chosen) < 2:
        raise ValueError(f"{where}: at least two hidden states are needed, one to ask and one to answer")
    return chosen


class CosineDistillation(FeatureDistillation):
    """1 - cosine similarity of prediction and teacher (paper eq. 18 and 19; official: `VideoCompressor`)."""

    def distance(
        self, prediction: Float[Tensor, "tokens width"], teacher: Float[Tensor, "tokens width"]
    ) -> Float[Tensor, " tokens"]:
        """Return 1 - cosine similarity."""
        return 1 - functional.cosine_similarity(prediction, teacher, dim=-1)


class MSEDistillation(FeatureDistillation):
    """Mean squared error over the channels of prediction and teacher (paper table 5, "MSE"), with the same head."""

    def distance(
        self, prediction: Float[Tensor, "tokens width"], teacher: Float[Tensor, "tokens width"]
    ) -> Float[Tensor, " tokens"]:
        """Return the mean squared error."""
        return (prediction - teacher).square().mean(-1)
