"""All index arithmetic of a batch for STAB, done on the host before the frames are encoded.

There are no loops over clips or frames: sizes are expanded with repeat_interleave, and positions are cumulative sums.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from components.encoders.video_encoder import TokenLayout, VideoShapes
from components.groups import Groups, Places
from components.stab.grid import Chunks, ValidArea


@dataclass
class STABLayout(TokenLayout):
    """The sources and positions of the tokens of a batch.

    Local encoding reads a grid of cells: patches, or windows if these are merged before it.

    Attributes:
        canvas: (rows, columns) of patches on the canvas to which the indices below refer.
        shift: (rows, columns) of patches before the first cell of each frame.
        video_frames: indices of the frames of videos, which are all clips but images.
        chunks: division of these frames into chunks.
        valid: valid area of these frames, without padding.
        cells: places of the cells of all windows in the flattened (frames, rows, columns); window by window.
        frames: grouping of the windows by frame.
    """

    canvas: tuple[int, int]
    shift: Int64[Tensor, "frames 2"]
    video_frames: Int64[Tensor, " video_frames"]
    chunks: Chunks
    valid: ValidArea
    cells: Places
    frames: Groups

    @property
    def windows(self) -> Int64[Tensor, "windows cells"]:
        """The indices of the cells of every window in the flattened (frames, rows, columns), row by row."""
        return self.cells.slots.view(len(self.frames.group), -1)


def stab_layout(
    shapes: VideoShapes,
    *,
    stride: int,
    cell_side: int,
    chunking: Callable[[Tensor], Tensor],
    shortest_video: int,
    contexts: int,
    row_tokens: int,
) -> STABLayout:
    """Compute the layout of a batch.

    The tokens of a frame are its context token, then row by row the windows and the row token. A last row or column of
    patches that does not fill a window is left out (official).

    Args:
        shapes: sizes of the batch.
        stride: side of a window in patches.
        cell_side: side in patches of a cell of the grid that local encoding reads; it divides the stride.
        chunking: function that returns the sizes of the chunks of all clips, see `Chunking`.
        shortest_video: minimum number of frames of a video; shorter clips are images.
        contexts: number of context tokens per frame, 0 or 1.
        row_tokens: number of tokens after each row, 0 or 1.

    Raises:
        ValueError: frame counts and rectangles disagree, or a rectangle leaves the canvas or contains no window.
    """
    _check(shapes, stride)
    rectangles = shapes.rectangles // cell_side  # from here on in cells; the first one begins at the shift of the frame
    side = stride // cell_side
    top, left, height, width = rectangles.unbind(1)
    rows, columns = height // side, width // side
    frames = Groups.of_sizes(rows * columns)

    # Frame, row and column of each window, then the cells in it.
    frame = frames.group
    within = torch.arange(len(frame)) - ((rows * columns).cumsum(0) - rows * columns)[frame]
    row, column = within // columns[frame], within % columns[frame]
    canvas_rows, canvas_columns = (patches // cell_side for patches in shapes.canvas)
    corner = (frame * canvas_rows + top[frame] + row * side) * canvas_columns + left[frame] + column * side
    step = torch.arange(side)
    windows = corner[:, None] + (step[:, None] * canvas_columns + step).flatten()

    # Positions in the packed sequence; the features are [context tokens, windows, row token].
    tokens = contexts + rows * (columns + row_tokens)
    start = tokens.cumsum(0) - tokens
    order = torch.full(
        (int(tokens.sum()),), len(rows) * contexts + len(frame)
    )  # the remaining positions are row tokens
    context_of = torch.arange(len(rows) * contexts)
    order[start[context_of]] = context_of
    grid = start[frame] + contexts + row * (columns[frame] + row_tokens) + column
    order[grid] = len(context_of) + torch.arange(len(frame))

    clip = torch.repeat_interleave(shapes.frame_counts)
    is_video = shapes.frame_counts >= shortest_video
    video_frames = is_video[clip].nonzero()[:, 0]
    return STABLayout(
        token_counts=tuple(torch.zeros_like(shapes.frame_counts).index_add(0, clip, tokens).tolist()),
        order=order,
        grid=grid,
        grids=torch.stack([rows, columns], 1),
        canvas=shapes.canvas,
        shift=shapes.rectangles[:, :2] % cell_side,
        video_frames=video_frames,
        chunks=Chunks.of_clips(shapes.frame_counts[is_video], chunking(shapes.frame_counts[is_video])),
        valid=ValidArea.of_rectangles(rectangles[video_frames], (canvas_rows, canvas_columns)),
        cells=Places.of_slots(windows.flatten(), len(rows) * canvas_rows * canvas_columns),
        frames=frames,
    )


def _check(shapes: VideoShapes, stride: int) -> None:
    if len(shapes.frame_counts) == 0 or bool((shapes.frame_counts < 1).any()):
        raise ValueError(f"frame_counts {shapes.frame_counts.tolist()}: a batch is at least one clip of at least one")
    if int(shapes.frame_counts.sum()) != len(shapes.rectangles):
        raise ValueError(
            f"frame_counts {shapes.frame_counts.tolist()} add up to {int(shapes.frame_counts.sum())} frames, but there "
            f"are {len(shapes.rectangles)} rectangles"
        )
    start, size = shapes.rectangles[:, :2], shapes.rectangles[:, 2:]
    outside = ((start < 0) | (start + size > torch.tensor(shapes.canvas))).any(1)
    empty = (size < stride).any(1)
    for wrong, why in ((outside, f"leaves the canvas of {shapes.canvas}"), (empty, f"holds no {stride} x {stride}")):
        if bool(wrong.any()):
            frame = int(wrong.nonzero()[0])
            raise ValueError(
                f"rectangle {shapes.rectangles[frame].tolist()} (top, left, height, width in patches) of frame {frame} "
                f"{why} patches"
            )
