"""Chunks: the short runs of frames inside which STAB mixes time.

The official code cuts a video into chunks of 4 frames; local encoding and video aggregation never look beyond one.
Frames of all chunks follow each other without padding, so the frame before or after is simply the neighbour on the
axis, unless a chunk border lies between.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from components.stab.groups import Groups


def chunk_sizes(frame_counts: Int64[Tensor, " clips"], chunk_frames: int) -> Int64[Tensor, " chunks"]:
    """Cut each clip into `max(1, frames // chunk_frames)` chunks as equal as possible, longer ones first.

    Equal to the official rule wherever that one works: its number of chunks is frames // 4, and it fails for fewer than
    4 frames and where the frames do not divide evenly (9, 11, 13, ...).
    """
    chunks = (frame_counts // chunk_frames).clamp(min=1)
    clip = torch.repeat_interleave(chunks)
    place = torch.arange(len(clip)) - (chunks.cumsum(0) - chunks)[clip]
    longer = place < (frame_counts % chunks)[clip]
    return (frame_counts // chunks)[clip] + longer


@dataclass
class Chunks(Groups):
    """Frames grouped into chunks.

    Attributes:
        has_previous: whether the frame before is in the same chunk.
        has_next: whether the frame after is in the same chunk.
    """

    has_previous: Bool[Tensor, " members"]
    has_next: Bool[Tensor, " members"]

    @classmethod
    def of_sizes(cls, sizes: Int64[Tensor, " groups"]) -> "Chunks":
        """Cut the frame axis into consecutive chunks of the given sizes, each >= 1."""
        groups = Groups.of_sizes(sizes)
        place = torch.arange(len(groups.group)) - (sizes.cumsum(0) - sizes)[groups.group]
        return cls(
            groups.members,
            groups.occupied,
            groups.slots,
            groups.group,
            has_previous=place > 0,
            has_next=place < sizes[groups.group] - 1,
        )

    def previous(self, frames: Float[Tensor, "frames *shape"]) -> Float[Tensor, "frames *shape"]:
        """Give every frame the one before it, zeros at the first of a chunk (zero padding in time)."""
        return frames.roll(1, 0) * self.has_previous.view(-1, *[1] * (frames.dim() - 1))

    def next(self, frames: Float[Tensor, "frames *shape"]) -> Float[Tensor, "frames *shape"]:
        """Give every frame the one after it, zeros at the last of a chunk (zero padding in time)."""
        return frames.roll(-1, 0) * self.has_next.view(-1, *[1] * (frames.dim() - 1))
