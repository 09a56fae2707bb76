"""The head that predicts a teacher's features from several hidden states of the language model."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class AlignmentHead(nn.Module):
    """Cross-attention over layers (official: `VideoCompressor`, EVE's patch aligning layer; not in the paper).

    At every token, the first hidden state, projected to the teacher's width, is the query, and the others are both keys
    and values. The result is added to a linear projection of the first one. The logits are scaled by
    teacher_width ** -0.5 although there are several heads (official). Initialisation: PyTorch's default.
    """

    def __init__(self, llm_width: int, teacher_width: int, layers: int, heads: int = 8) -> None:
        """Build the layers.

        Args:
            llm_width: size of a hidden state.
            teacher_width: size of a prediction, and of queries, keys and values.
            layers: number of hidden states, at least two.
            heads: number of attention heads; must divide the teacher's width.

        Raises:
            ValueError: the heads do not divide the teacher's width.
        """
        super().__init__()
        if heads < 1 or teacher_width < 1 or teacher_width % heads:
            raise ValueError(
                f"model.distillation.init_args.heads: {heads} does not divide the teacher's width {teacher_width}; "
                "choose heads so that it does, or another model.teacher"
            )
        assert layers >= 2, "one hidden state asks, so there must be another one to answer"
        self.heads = heads
        self.scale = teacher_width**-0.5
        self.projections = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(llm_width), nn.Linear(llm_width, teacher_width, bias=False))
            for _ in range(layers)
        )
        self.shortcut = nn.Linear(llm_width, teacher_width)
        self.output = nn.Linear(teacher_width, teacher_width)

    def forward(
        self, hidden_states: Sequence[Float[Tensor, "tokens llm_width"]]
    ) -> Float[Tensor, "tokens teacher_width"]:
        """Predict the teacher's feature of every token; the first hidden state is the query."""
        projected = self._project(hidden_states)
        query, others = projected[0], torch.stack(projected[1:], dim=1)
        logits = torch.einsum("nhd,nlhd->nhl", query, others) * self.scale
        answer = torch.einsum("nhl,nlhd->nhd", logits.softmax(-1), others).flatten(1)
        prediction: Tensor = self.output(answer) + self.shortcut(hidden_states[0])
        return prediction

    def of_single_layers(
        self, hidden_states: Sequence[Float[Tensor, "tokens llm_width"]]
    ) -> list[Float[Tensor, "tokens teacher_width"]]:
        """Return the predictions that would result from attending to each of the other hidden states alone."""
        shortcut = self.shortcut(hidden_states[0])
        return [self.output(answer.flatten(1)) + shortcut for answer in self._project(hidden_states)[1:]]

    def _project(
        self, hidden_states: Sequence[Float[Tensor, "tokens llm_width"]]
    ) -> list[Float[Tensor, "tokens heads head_width"]]:
        assert len(hidden_states) == len(self.projections), (len(hidden_states), len(self.projections))
        return [
            projection(states).unflatten(-1, (self.heads, -1))
            for projection, states in zip(self.projections, hidden_states, strict=True)
        ]
