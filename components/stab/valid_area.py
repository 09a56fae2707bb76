"""The valid area: which cells of the grid that local encoding works on show the picture; the rest is padding."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass
class ValidArea:
    """The valid cells of the frames of videos, made once per batch on the host.

    Attributes:
        inside: whether a cell is valid.
        cells: the valid ones, as positions in the flattened (video_frames, rows, columns).
    """

    inside: Bool[Tensor, "video_frames rows columns"]
    cells: Int64[Tensor, " valid"]

    @classmethod
    def of_rectangles(cls, rectangles: Int64[Tensor, "video_frames 4"], canvas: tuple[int, int]) -> "ValidArea":
        """Mark rectangles (top, left, height, width) on a canvas of (rows, columns); all counted in cells."""
        top, left, height, width = rectangles[:, :, None].unbind(1)
        row, column = (torch.arange(size) for size in canvas)
        in_rows = (row >= top) & (row < top + height)
        in_columns = (column >= left) & (column < left + width)
        inside = in_rows[:, :, None] & in_columns[:, None, :]
        return cls(inside, inside.flatten().nonzero()[:, 0])

    def pick(self, grid: Float[Tensor, "video_frames rows columns width"]) -> Float[Tensor, "valid width"]:
        """Return the valid cells."""
        return grid.flatten(0, 2).index_select(0, self.cells)

    def spread(self, values: Float[Tensor, "valid width"]) -> Float[Tensor, "video_frames rows columns width"]:
        """Put the valid cells back into their places, zeros into all others."""
        width = values.shape[-1]
        zeros = values.new_zeros(self.inside.numel(), width)
        return zeros.index_copy(0, self.cells, values).view(*self.inside.shape, width)

    def to(self, device: torch.device | str) -> "ValidArea":
        """Return the same area with its tensors on `device`, copied without waiting for them."""
        return type(self)(
            **{field.name: getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)}
        )
