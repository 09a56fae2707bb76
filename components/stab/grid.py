"""The grid of cells that local encoding and video aggregation read: its chunks in time and its valid area in space.

A cell is a patch, or a window of patches if windows are merged before local encoding. The official code cuts a video
into chunks of 4 frames, and mixes time only within a chunk. Frames of all chunks are concatenated without padding, so
the previous and next frames are neighbours on the axis, unless there is a chunk border between them.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from components.groups import Groups, Places


def of_videos(
    values: Float[Tensor, "frames *shape"], video_frames: Int64[Tensor, " video_frames"]
) -> Float[Tensor, "video_frames *shape"]:
    """Return the values of the frames of videos; without images in the batch these are all of them."""
    return values if len(video_frames) == len(values) else values.index_select(0, video_frames)


def with_videos(
    values: Float[Tensor, "frames *shape"],
    of_video_frames: Float[Tensor, "video_frames *shape"],
    video_frames: Int64[Tensor, " video_frames"],
) -> Float[Tensor, "frames *shape"]:
    """Return the values with those of the frames of videos replaced; without images in the batch these are all."""
    if len(video_frames) == len(values):
        return of_video_frames
    return values.index_copy(0, video_frames, of_video_frames.to(values.dtype))


class _WithNeighbours(torch.autograd.Function):
    """`Chunks.add_neighbours`, whose gradients are shifts in time as well.

    For slices and gathers, torch has gradients that add at indices or copy whole tensors.
    """

    @staticmethod
    def forward(
        ctx: Any, here: Tensor, before: Tensor, after: Tensor, shape: tuple[int, int], borders: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(borders)
        ctx.shape, ctx.dtypes = shape, (before.dtype, after.dtype)
        return _add_neighbours(here.clone(), before, after, shape, borders)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (borders,) = ctx.saved_tensors
        frames = gradient.unflatten(0, ctx.shape)
        before, after = torch.zeros_like(frames), torch.zeros_like(frames)
        before[:, :-1] = _within(frames[:, 1:], borders)
        after[:, 1:] = _within(frames[:, :-1], borders)
        of_before, of_after = ctx.dtypes
        return gradient, before.flatten(0, 1).to(of_before), after.flatten(0, 1).to(of_after), None, None


def _add_neighbours(
    here: Tensor, before: Tensor, after: Tensor, shape: tuple[int, int], borders: Tensor | None
) -> Tensor:
    frames, earlier, later = (values.unflatten(0, shape) for values in (here, before, after))
    frames[:, 1:].add_(_within(earlier[:, :-1], borders))
    frames[:, :-1].add_(_within(later[:, 1:], borders))
    return here


def _within(pairs: Tensor, borders: Tensor | None) -> Tensor:
    """Return the values between frames that follow each other, with zeros where a chunk ends between them."""
    return pairs if borders is None else pairs.masked_fill(borders.view(-1, *[1] * (pairs.dim() - 2)), 0)


@dataclass
class Chunks(Groups):
    """Frames grouped into chunks.

    Attributes:
        borders: mask of the frames that another chunk follows, without the last of all.
        clips: grouping of the frames by clip.
    """

    borders: Bool[Tensor, " borders"]
    clips: Groups

    @classmethod
    def of_clips(cls, frame_counts: Int64[Tensor, " clips"], sizes: Int64[Tensor, " groups"]) -> "Chunks":
        """Cut the frames of clips into consecutive chunks of some sizes, each at least 1."""
        groups = Groups.of_sizes(sizes)
        borders = groups.group[1:] != groups.group[:-1]
        clips = Groups.of_sizes(frame_counts)
        return cls(groups.members, groups.occupied, groups.slots, groups.group, borders, clips)

    def add_neighbours(
        self,
        here: Float[Tensor, "frames *shape"],
        before: Float[Tensor, "frames *shape"],
        after: Float[Tensor, "frames *shape"],
    ) -> Float[Tensor, "frames *shape"]:
        """Return here[t] + before[t - 1] + after[t + 1], where a neighbour outside the chunk counts as zero.

        `here` may be overwritten.
        """
        # Chunks of equal length need no mask; others are one row of frames with borders in it.
        groups, places = self.members.shape
        shape, borders = ((groups, places), None) if self.are_full else ((1, len(here)), self.borders)
        if not torch.is_grad_enabled():
            return _add_neighbours(here, before, after, shape, borders)
        added: Tensor = _WithNeighbours.apply(here, before, after, shape, borders)
        return added


class Area(ABC):
    """The cells of a grid that a local encoding reads."""

    @abstractmethod
    def pick(self, grid: Float[Tensor, "video_frames rows columns width"]) -> Float[Tensor, "cells width"]:
        """Return the cells of the area."""

    @abstractmethod
    def spread(self, values: Float[Tensor, "cells width"]) -> Float[Tensor, "video_frames rows columns width"]:
        """Return a grid with the values of the cells of the area, and zeros in all others."""


@dataclass
class WholeCanvas(Area):
    """All cells, those of padding included, as views.

    Attributes:
        shape: (video_frames, rows, columns).
    """

    shape: tuple[int, int, int]

    def pick(self, grid: Float[Tensor, "video_frames rows columns width"]) -> Float[Tensor, "cells width"]:
        """Return all cells."""
        return grid.flatten(0, 2)

    def spread(self, values: Float[Tensor, "cells width"]) -> Float[Tensor, "video_frames rows columns width"]:
        """Return them as a grid."""
        return values.view(*self.shape, values.shape[-1])


@dataclass
class ValidArea(Area):
    """The valid cells of the frames of videos, computed once per batch on the host.

    Attributes:
        inside: mask of the valid cells.
        cells: places of the valid cells in the flattened (video_frames, rows, columns).
    """

    inside: Bool[Tensor, "video_frames rows columns"]
    cells: Places

    @classmethod
    def of_rectangles(cls, rectangles: Int64[Tensor, "video_frames 4"], canvas: tuple[int, int]) -> "ValidArea":
        """Return the area of rectangles (top, left, height, width) on a canvas (rows, columns), all in cells."""
        top, left, height, width = rectangles[:, :, None].unbind(1)
        row, column = (torch.arange(size) for size in canvas)
        in_rows = (row >= top) & (row < top + height)
        in_columns = (column >= left) & (column < left + width)
        inside = in_rows[:, :, None] & in_columns[:, None, :]
        return cls(inside, Places.of_slots(inside.flatten().nonzero()[:, 0], inside.numel()))

    def pick(self, grid: Float[Tensor, "video_frames rows columns width"]) -> Float[Tensor, "valid width"]:
        """Return the valid cells."""
        return self.cells.take(grid.flatten(0, 2))

    def spread(self, values: Float[Tensor, "valid width"]) -> Float[Tensor, "video_frames rows columns width"]:
        """Return a grid with the values of the valid cells, and zeros in all others."""
        return self.cells.lay(values).view(*self.inside.shape, values.shape[-1])

    def to(self, device: torch.device | str) -> "ValidArea":
        """Return the same area with its tensors on `device`, copied without waiting for them."""
        return type(self)(self.inside.to(device, non_blocking=True), self.cells.to(device))
