"""Chunks: the short runs of frames inside which STAB mixes time.

The official code cuts a video into chunks of 4 frames; local encoding and video aggregation never look beyond one.
Frames of all chunks follow each other without padding, so the frame before or after is simply the neighbour on the
axis, unless a chunk border lies between.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from components.groups import Groups


def chunk_sizes(frame_counts: Int64[Tensor, " clips"], chunk_frames: int) -> Int64[Tensor, " chunks"]:
    """Cut each clip into `max(1, frames // chunk_frames)` chunks as equal as possible, longer ones first.

    Up to 24 frames this is the official rule wherever that one works: its number of chunks is frames // 4 too, but it
    fails for fewer than 4 frames and where the pieces differ (9, 11, 13, ...). Longer clips it cuts into fewer chunks
    for a few counts (25 frames into 5 x 5, where this gives 5 and 5 x 4).
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
        followers: frames that follow another one in the same chunk.
        clips: the frames of each clip.
    """

    followers: Int64[Tensor, " followers"]
    clips: Groups

    @classmethod
    def of_clips(cls, frame_counts: Int64[Tensor, " clips"], sizes: Int64[Tensor, " groups"]) -> "Chunks":
        """Cut the frames of clips into consecutive chunks of the given sizes, each >= 1."""
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
        """Return here[t] + before[t - 1] + after[t + 1], where a neighbour outside the chunk counts as zero."""
        leaders = self.followers - 1
        with_previous = here.index_add(0, self.followers, before.index_select(0, leaders).to(here.dtype))
        return with_previous.index_add_(0, leaders, after.index_select(0, self.followers).to(here.dtype))
