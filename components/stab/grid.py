"""The grid of cells that local encoding and video aggregation read: its chunks in time and its valid area in space.

A cell is a patch, or a window of patches if windows are merged before local encoding. The official code cuts a video
into chunks of 4 frames, and mixes time only within a chunk. Frames of all chunks are concatenated without padding, so
the previous and next frames are neighbours on the axis, unless there is a chunk border between them.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

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


@dataclass
class Chunks(Groups):
    """Frames grouped into chunks.

    Attributes:
        followers: indices of the frames that follow another one in the same chunk.
        clips: grouping of the frames by clip.
    """

    followers: Int64[Tensor, " followers"]
    clips: Groups

    @classmethod
    def of_clips(cls, frame_counts: Int64[Tensor, " clips"], sizes: Int64[Tensor, " groups"]) -> "Chunks":
        """Cut the frames of clips into consecutive chunks of some sizes, each at least 1."""
        groups = Groups.of_sizes(sizes)
        followers = (groups.group[1:] == groups.group[:-1]).nonzero()[:, 0] + 1
        clips = Groups.of_sizes(frame_counts)
        return cls(groups.members, groups.occupied, groups.slots, groups.group, followers, clips)

    def add_neighbours(
        self,
        here: Float[Tensor, "frames *shape"],
        before: Float[Tensor, "frames *shape"],
        after: Float[Tensor, "frames *shape"],
    ) -> Float[Tensor, "frames *shape"]:
        """Return here[t] + before[t - 1] + after[t + 1], where a neighbour outside the chunk counts as zero.

        `here` may be overwritten.
        """
        # Chunks of equal length need no indices, but autograd would copy whole tensors for the views that are written.
        if self.are_full and not torch.is_grad_enabled():
            chunks, earlier, later = (
                values.unflatten(0, tuple(self.members.shape)) for values in (here, before, after)
            )
            chunks[:, 1:].add_(earlier[:, :-1])
            chunks[:, :-1].add_(later[:, 1:])
            return here
        leaders = self.followers - 1
        with_previous = here.index_add(0, self.followers, before.index_select(0, leaders).to(here.dtype))
        return with_previous.index_add_(0, leaders, after.index_select(0, self.followers).to(here.dtype))


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
