"""Chunking: how far in time local encoding and video aggregation can see."""

import torch
from jaxtyping import Int64
from torch import Tensor

from components.stab.base import Chunking
from components.stab.chunks import chunk_sizes


class EqualChunks(Chunking):
    """Cuts a clip into short chunks as equal as possible (official: chunks of 4 frames), see `chunk_sizes`."""

    def __init__(self, chunk_frames: int) -> None:
        """Keep the length.

        Args:
            chunk_frames: frames of a chunk; a few more where they do not divide the clip.
        """
        super().__init__()
        self.chunk_frames = chunk_frames

    def forward(self, frame_counts: Int64[Tensor, " clips"]) -> Int64[Tensor, " chunks"]:
        """Return the sizes of all chunks."""
        return chunk_sizes(frame_counts, self.chunk_frames)


class OfficialChunks(Chunking):
    """Cuts as the official code does, by `torch.chunk` into frames // 4 chunks, and refuses clips that it fails for.

    Those are clips shorter than a chunk, and those whose chunks would differ in length (9, 11, 13 frames, ...).
    """

    def __init__(self, chunk_frames: int) -> None:
        """Keep the length.

        Args:
            chunk_frames: frames of a chunk, if they divide the clip; officially 4.
        """
        super().__init__()
        self.chunk_frames = chunk_frames

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
    """Takes every clip as one chunk: the paper's text ("all tokens of the video"), which the official code cuts."""

    def __init__(self, chunk_frames: int) -> None:
        """Take what every chunking takes.

        Args:
            chunk_frames: has no use here.
        """
        super().__init__()

    def forward(self, frame_counts: Int64[Tensor, " clips"]) -> Int64[Tensor, " clips"]:
        """Return the lengths of the clips."""
        return frame_counts
