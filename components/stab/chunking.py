"""Chunking: how far in time local encoding and video aggregation can see."""

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
