"""Aligns the tokens of the student with patches of the teacher, and predicts the teacher's features from them.

Student and teacher see the same picture on separate canvases, and on each the picture fills a valid rectangle. A token
of the student covers a part of its rectangle and is compared with the mean of the teacher's patches that touch the same
part of the teacher's rectangle. With as many patches as tokens this is one patch each, with a whole multiple plain
average pooling (official), otherwise the rule of `torch.nn.functional.adaptive_avg_pool2d`.

The indices are computed once per batch on the host; a gather and a weighted sum run on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn


@dataclass
class Alignment:
    """The teacher's patches for every grid token of a batch, frame by frame and row by row.

    Attributes:
        patches: indices of the patches of every token in the teacher's flattened (frames, rows, columns); arbitrary in
            empty places.
        shares: weight of each patch in the mean; 0 in empty places.
        frames: index of the frame of each token.
        frame_count: number of frames in the batch.
    """

    patches: Int64[Tensor, "tokens places"]
    shares: Float[Tensor, "tokens places"]
    frames: Int64[Tensor, " tokens"]
    frame_count: int

    def pool(self, features: Float[Tensor, "frames rows columns width"]) -> Float[Tensor, "tokens width"]:
        """Return the mean feature of the teacher for every token."""
        picked = features.flatten(0, 2).index_select(0, self.patches.flatten()).unflatten(0, self.patches.shape)
        pooled: Tensor = (picked * self.shares[..., None].to(picked.dtype)).sum(1)
        return pooled


def align(
    grids: Int64[Tensor, "frames 2"], rectangles: Int64[Tensor, "teacher_frames 4"], canvas: tuple[int, int]
) -> Alignment:
    """Compute the alignment of a batch, on the host.

    Args:
        grids: (rows, columns) of the student's tokens in every frame, at least 1.
        rectangles: valid area of every frame as (top, left, height, width) in the teacher's patches.
        canvas: (rows, columns) of the teacher's patches in the whole frame.

    Raises:
        ValueError: the numbers of grids and rectangles differ, a rectangle leaves the canvas, a grid is empty, or the
            teacher's grid is coarser than the student's.
    """
    _check(grids, rectangles, canvas)
    rows, columns = grids.unbind(1)
    tokens = rows * columns
    frame = torch.repeat_interleave(tokens)
    within = torch.arange(len(frame)) - (tokens.cumsum(0) - tokens)[frame]
    index = torch.stack([within // columns[frame], within % columns[frame]], dim=1)  # row and column of every token

    corner, size, grid = rectangles[frame, :2], rectangles[frame, 2:], grids[frame]
    first = index * size // grid
    count = ((index + 1) * size + grid - 1) // grid - first  # number of touched patches along each side
    step = torch.cartesian_prod(*(torch.arange(int(longest)) for longest in count.amax(0)))
    touched = (step < count[:, None]).all(2)
    place = (corner + first)[:, None] + torch.where(touched[..., None], step, 0)
    return Alignment(
        patches=(frame[:, None] * canvas[0] + place[..., 0]) * canvas[1] + place[..., 1],
        shares=touched / count.prod(1, keepdim=True),
        frames=frame,
        frame_count=len(grids),
    )


def _check(grids: Tensor, rectangles: Tensor, canvas: tuple[int, int]) -> None:
    if len(grids) != len(rectangles) or len(grids) == 0:
        raise ValueError(
            f"the student has grids for {len(grids)} frames and the teacher rectangles for {len(rectangles)}; there "
            "must be one of each for every frame"
        )
    start, size = rectangles[:, :2], rectangles[:, 2:]
    outside = ((start < 0) | (start + size > torch.tensor(canvas))).any(1)
    coarser = ((grids < 1) | (size < grids)).any(1)
    for wrong, why in (
        (outside, f"leaves the teacher's canvas of {canvas} patches"),
        (coarser, "holds fewer patches than the student has tokens, or the student has none"),
    ):
        if bool(wrong.any()):
            frame = int(wrong.nonzero()[0])
            raise ValueError(
                f"rectangle {rectangles[frame].tolist()} (top, left, height, width in the teacher's patches) of frame "
                f"{frame} {why}: the student's grid there is {grids[frame].tolist()}; choose another "
                "model.teacher.init_args.canvas or another model.teacher"
            )


class AlignmentHead(nn.Module):
    """Predicts the teacher's features from several hidden states of the language model, by attention over layers.

    Official (`VideoCompressor`, EVE's patch aligning layer), but not in the paper. At every token, the first hidden
    state, projected to the teacher's width, is the query, and the others are both keys and values. The result is added
    to a linear projection of the first one. The logits are scaled by teacher_width ** -0.5 although there are several
    heads (official). Initialisation: PyTorch's default.
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
