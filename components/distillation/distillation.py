"""Distillation: losses between hidden states of the language model and a teacher's features (paper eqs. 18 and 19).

Everything is packed: only the grid tokens (no context tokens, row tokens or text) of all frames of all clips,
concatenated. The official code pads short clips with frames, which add a term without value or gradient to its loss.

Legend: N grid tokens of all frames.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from components.distillation.alignment import AlignmentHead


class Distillation(nn.Module, ABC):
    """A loss that pulls hidden states of the language model towards features of a teacher: the family `distillation`.

    Attributes:
        hidden_layers: hidden states of the language model that `forward` takes, in that order; 0 is the input, n the
            output of layer n, and the last one is after the final norm. Empty if no hidden states and no teacher are
            needed.
        weight: factor of the loss relative to the cross-entropy of the text. `forward` does not apply it, so that
            losses of runs with different weights can be compared.
    """

    hidden_layers: tuple[int, ...] = ()
    weight: float = 0.0

    def __init__(self, llm_width: int, llm_layers: int, teacher_width: int) -> None:
        """Initialise with the sizes that every distillation gets from the model; a subclass may have more settings.

        Args:
            llm_width: width of the language model.
            llm_layers: number of layers of the language model.
            teacher_width: size of a feature of the teacher.
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
            hidden_states: hidden states of the `hidden_layers` at the grid tokens.
            teacher: feature of the teacher for each token (see `align`).
            frames: index of the frame of each token, 0 to frame_count - 1; every frame has at least one token.
            frame_count: number of frames of all clips; all frames have equal weight, however many tokens they have.

        Raises:
            ValueError: the teacher's features have another width than the one given to the constructor.
        """


class NoDistillation(Distillation):
    """No distillation: has no parameters, needs no hidden states and returns 0 (paper table 5, "none")."""

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
    """The mean distance between the teacher's features and predictions of an `AlignmentHead`, frame by frame."""

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
            llm_layers: number of layers of the language model.
            teacher_width: size of a feature of the teacher.
            every: distance between the hidden states that the head reads, from the last one down; the input is always
                included. Official: 4, which gives 32, 28, ..., 4, 0 of 32 layers.
            layers: list of hidden states to use instead of `every`, at least two, of which the first is the query;
                0 is the input, n the output of layer n, and -1 the last one.
            heads: number of attention heads of the head; must divide the size of a feature of the teacher.
            weight: factor of the loss relative to the cross-entropy of the text, at least 0.

        Raises:
            ValueError: there is no teacher, the weight is negative, a hidden state does not exist or is listed twice,
                there are fewer than two, or the heads do not divide the size of a feature of the teacher.
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
        """Return the distance of each prediction from the teacher's feature."""

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
