"""Chunking: how far in time local encoding and video aggregation can see."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Int64
from torch import Tensor, nn


class Chunking(nn.Module, ABC):
    """Cuts clips into chunks, the runs of frames inside which local encoding and video aggregation mix time.

    It runs on the host. (The paper has no chunks; official: runs of 4 frames.)
    """

    def __init__(self, chunk_frames: int) -> None:
        """Take what the block hands to every chunking.

        Args:
            chunk_frames: frames that a chunk should have, if clips are cut.
        """
        super().__init__()
        self.chunk_frames = chunk_frames

    @abstractmethod
    def forward(self, frame_counts: Int64[Tensor, " clips"]) -> Int64[Tensor, " chunks"]:
        """Return the sizes of the chunks, clip by clip, each >= 1; those of one clip add up to its frames."""


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


class EqualChunks(Chunking):
    """Cuts a clip into short chunks as equal as possible (official: chunks of 4 frames), see `chunk_sizes`."""

    def forward(self, frame_counts: Int64[Tensor, " clips"]) -> Int64[Tensor, " chunks"]:
        """Return the sizes of all chunks."""
        return chunk_sizes(frame_counts, self.chunk_frames)


class OfficialChunks(Chunking):
    """Cuts as the official code does, by `torch.chunk` into frames // 4 chunks, and refuses clips that it fails for.

    Those are clips shorter than a chunk, and those whose chunks would differ in length (9, 11, 13 frames, ...).
    """

    def forward(self, frame_counts: Int64[Tensor, " clips"]) -> Int64[Tensor, " chunks"]:
        """Return the sizes of all chunks.

        Raises:
            ValueError: a clip that the official code fails for.
        """
        chunks = frame_counts // self.chunk_frames
        sizes = -(-frame_counts // chunks.clamp(min=1))
        refused = frame_counts[(chunks == 0) | (frame_counts % sizes != 0)]
        if len(refused):
            raise ValueError(
                f"a clip of {int(refused[0])} frames cannot be cut into chunks as the official code does it, which "
                f"fails for fewer than {self.chunk_frames} frames and for chunks of different lengths; choose a "
                f"multiple of {self.chunk_frames} (data.init_args.sampler), or EqualChunks "
                "(model.encoder.init_args.chunking)"
            )
        return torch.repeat_interleave(sizes, frame_counts // sizes)


class WholeVideo(Chunking):
    """Takes every clip as one chunk, as the paper writes it (eqs. 11 to 13, "all tokens of the video")."""

    def forward(self, frame_counts: Int64[Tensor, " clips"]) -> Int64[Tensor, " clips"]:
        """Return the lengths of the clips."""
        return frame_counts
