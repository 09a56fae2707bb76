"""Placement of the downsampling: whether local encoding and video aggregation read patches or merged windows.

The cells of the grid that they read are patches, or windows of patches if these are merged first.
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from components.groups import Groups
from components.stab.downsampling import SpatialDownsampling


class DownsamplingPlacement(nn.Module, ABC):
    """Decides where in the block windows are merged: either `make_grid` or `make_tokens` calls the downsampling."""

    @abstractmethod
    def cell_side(self, stride: int) -> int:
        """Return the side in patches of a cell of the grid that local encoding reads: 1, or the stride."""

    @abstractmethod
    def make_grid(
        self,
        downsampling: SpatialDownsampling,
        patches: Float[Tensor, "frames patch_rows patch_columns width"],
        shift: Int64[Tensor, "frames 2"],
    ) -> Float[Tensor, "frames rows columns width"]:
        """Return the grid that local encoding reads.

        Args:
            downsampling: part that merges windows.
            patches: all patch embeddings, including those of padding.
            shift: (rows, columns) of patches before the first cell, less than the side of a cell.
        """

    @abstractmethod
    def make_tokens(
        self, downsampling: SpatialDownsampling, windows: Float[Tensor, "windows cells width"], frames: Groups
    ) -> Float[Tensor, "windows width"]:
        """Return the tokens of the valid rectangles from the cells of each window; `frames` groups the windows."""


class AfterLocalEncoding(DownsamplingPlacement):
    """Merges locally encoded patches (paper table 8, "after LSTE", the choice of the paper)."""

    def cell_side(self, stride: int) -> int:
        """Return 1: a cell is a patch."""
        return 1

    def make_grid(
        self,
        downsampling: SpatialDownsampling,
        patches: Float[Tensor, "frames rows columns width"],
        shift: Int64[Tensor, "frames 2"],
    ) -> Float[Tensor, "frames rows columns width"]:
        """Return the patches."""
        return patches

    def make_tokens(
        self, downsampling: SpatialDownsampling, windows: Float[Tensor, "windows patches width"], frames: Groups
    ) -> Float[Tensor, "windows width"]:
        """Merge the windows of the valid rectangles."""
        tokens: Tensor = downsampling(windows, frames)
        return tokens


class BeforeLocalEncoding(DownsamplingPlacement):
    """Merges patch embeddings (paper table 8, "before LSTE"), so that later parts have stride ** 2 times fewer cells.

    The paper gives only the name. Here all windows of the canvas are merged, since local encoding and video aggregation
    read padding too (official). The dense connection adds the merged tokens, which are the input of local encoding.
    Frame aggregation and the language model get the cells of the valid rectangle.

    As in the other placement, windows start at the corner of the rectangle of a frame, and an odd last row or column of
    the rectangle gives no token. If the corner is not a multiple of the stride, windows that reach over the edge of the
    canvas continue at the opposite edge; these never give a token.
    """

    def cell_side(self, stride: int) -> int:
        """Return the stride: a cell is a window."""
        return stride

    def make_grid(
        self,
        downsampling: SpatialDownsampling,
        patches: Float[Tensor, "frames rows columns width"],
        shift: Int64[Tensor, "frames 2"],
    ) -> Float[Tensor, "frames window_rows window_columns width"]:
        """Merge all windows of the canvas."""
        side, device = downsampling.stride, patches.device
        frames, rows, columns = patches.shape[:3]
        row = (shift[:, :1] + torch.arange(rows // side * side, device=device)) % rows
        column = (shift[:, 1:] + torch.arange(columns // side * side, device=device)) % columns
        frame = torch.arange(frames, device=device)[:, None, None]
        index = (frame * rows + row[:, :, None]) * columns + column[:, None, :]
        # (frames, window_rows, window_columns, rows of a window, columns of a window)
        index = index.unflatten(2, (-1, side)).unflatten(1, (-1, side)).transpose(2, 3)
        windows = patches.flatten(0, 2).index_select(0, index.flatten()).unflatten(0, (-1, side**2))
        windows_of_frames = Groups.equal(frames, index.shape[1] * index.shape[2], device)
        merged: Tensor = downsampling(windows, windows_of_frames)
        return merged.view(*index.shape[:3], -1)

    def make_tokens(
        self, downsampling: SpatialDownsampling, windows: Float[Tensor, "windows 1 width"], frames: Groups
    ) -> Float[Tensor, "windows width"]:
        """Return the cells of the valid rectangles, which are merged windows already."""
        return windows[:, 0]
