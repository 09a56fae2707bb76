"""Chunking: cuts clips into the ranges of time that local encoding and video aggregation can see."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Int64
from torch import Tensor, nn


class Chunking(nn.Module, ABC):
    """Cuts clips into chunks, the runs of frames within which local encoding and video aggregation mix time.

    It runs on the host. (The paper has no chunks; official: runs of 4 frames.)
    """

    def __init__(self, chunk_frames: int) -> None:
        """Set the length of a chunk.

        Args:
            chunk_frames: number of frames per chunk, for chunkings that cut clips.
        """
        super().__init__()
        self.chunk_frames = chunk_frames

    @abstractmethod
    def forward(self, frame_counts: Int64[Tensor, " clips"]) -> Int64[Tensor, " chunks"]:
        """Return the sizes of the chunks, clip by clip, each at least 1; those of a clip add up to its frames."""


def chunk_sizes(frame_counts: Int64[Tensor, " clips"], chunk_frames: int) -> Int64[Tensor, " chunks"]:
    """Cut each clip into `max(1, frames // chunk_frames)` chunks as equal as possible, longer ones first.

    Up to 24 frames this equals the official rule where that works: it also makes frames // 4 chunks, but fails for
    fewer than 4 frames and for chunks of different lengths (9, 11, 13, ...). For a few longer clips it makes fewer
    chunks (25 frames give 5 x 5, and here 5 and 5 x 4).
    """
    chunks = (frame_counts // chunk_frames).clamp(min=1)
    clip = torch.repeat_interleave(chunks)
    place = torch.arange(len(clip)) - (chunks.cumsum(0) - chunks)[clip]
    longer = place < (frame_counts % chunks)[clip]
    return (frame_counts // chunks)[clip] + longer


class EqualChunks(Chunking):
    """Cuts a clip into short chunks of nearly equal length (official: 4 frames), see `chunk_sizes`."""

    def forward(self, frame_counts: Int64[Tensor, " clips"]) -> Int64[Tensor, " chunks"]:
        """Return the sizes of all chunks."""
        return chunk_sizes(frame_counts, self.chunk_frames)


class OfficialChunks(Chunking):
    """Cuts by `torch.chunk` into frames // 4 chunks, like the official code, and refuses clips for which that fails.

    These are clips shorter than a chunk, and clips whose chunks would differ in length (9, 11, 13 frames, ...).
    """

    def forward(self, frame_counts: Int64[Tensor, " clips"]) -> Int64[Tensor, " chunks"]:
        """Return the sizes of all chunks.

        Raises:
            ValueError: the official code fails for a clip.
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
    """Treats every clip as one chunk, as the paper describes it (eqs. 11 to 13, "all tokens of the video")."""

    def forward(self, frame_counts: Int64[Tensor, " clips"]) -> Int64[Tensor, " clips"]:
        """Return the lengths of the clips."""
        return frame_counts
