"""The contracts of STAB's slots: what each part is given and what it must return.

A part takes the width first, the video aggregator and the fusion a dropout after it, and then settings of its own,
which are chosen in YAML. An absent part is a class of its family (`NoLocalEncoding`, ...) that has no parameters.
Parts that only arrange others (`Chunking`, `DownsamplingPlacement`, `Connection`, `NormalisationStatistics`) never
have any.

Legend: "frames" are those of the whole batch; "video_frames" those of clips that take the video path, i.e. not images.
"rows columns" are those of the grid that local encoding reads: of patches, or of windows if these are merged before it.
"""

from abc import ABC, abstractmethod

from jaxtyping import Float, Int64
from torch import Tensor, nn

from components.groups import Groups
from components.stab.chunks import Chunks
from components.stab.valid_area import ValidArea


class Chunking(nn.Module, ABC):
    """Cuts clips into chunks, the runs of frames inside which local encoding and video aggregation mix time.

    Built with the frames that a chunk should have. It runs on the host.
    """

    @abstractmethod
    def forward(self, frame_counts: Int64[Tensor, " clips"]) -> Int64[Tensor, " chunks"]:
        """Return the sizes of the chunks, clip by clip, each >= 1; those of a clip add up to its frames."""


class PositionEncoding(nn.Module, ABC):
    """Adds to every token something that depends on where it is: a slot of `LSTE`."""

    @abstractmethod
    def forward(
        self, tokens: Float[Tensor, "video_frames rows columns width"], chunks: Chunks
    ) -> Float[Tensor, "video_frames rows columns width"]:
        """Return the tokens with their position encoding added."""


class Connection(nn.Module, ABC):
    """Combines patch embeddings and encoded patches into what the spatial downsampling reads: a slot of `LSTE`."""

    @abstractmethod
    def forward(
        self,
        patches: Float[Tensor, "frames rows columns width"],
        encoded: Float[Tensor, "video_frames rows columns width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "frames rows columns width"]:
        """Return the combination; frames that are not in `video_frames` are images and stay patch embeddings."""


class NormalisationStatistics(nn.Module, ABC):
    """Applies a batch normalisation with the statistics of its choice: a slot of `LSTE`."""

    @abstractmethod
    def forward(
        self, norm: nn.Module, tokens: Float[Tensor, "tokens width"], clip: Int64[Tensor, " tokens"], clips: int
    ) -> Float[Tensor, "tokens width"]:
        """Return the normalised tokens.

        Args:
            norm: holds weights and running statistics: an `nn.BatchNorm1d`, or what a strategy put in its place.
            tokens: of all clips.
            clip: of each token.
            clips: how many there are.
        """


class LocalEncoding(nn.Module, ABC):
    """Relates patches to their neighbours in space and time, on the whole canvas."""

    @abstractmethod
    def forward(
        self, patches: Float[Tensor, "video_frames rows columns width"], chunks: Chunks, valid: ValidArea
    ) -> Float[Tensor, "video_frames rows columns width"]:
        """Return the encoded patches, which the video aggregator reads; `valid` tells them from padding."""

    @abstractmethod
    def connect(
        self,
        patches: Float[Tensor, "frames rows columns width"],
        encoded: Float[Tensor, "video_frames rows columns width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "frames rows columns width"]:
        """Combine patch embeddings and encoded patches into what the spatial downsampling reads.

        Frames that are not in `video_frames` are images and stay patch embeddings.
        """


class VideoAggregator(nn.Module, ABC):
    """Condenses a chunk of frames into one token, the video context."""

    @abstractmethod
    def forward(
        self, encoded: Float[Tensor, "video_frames rows columns width"], chunks: Chunks, valid: ValidArea
    ) -> Float[Tensor, "chunks width"]:
        """Return one token per chunk; `valid` tells patches from padding."""


class SpatialDownsampling(nn.Module, ABC):
    """Merges each window of stride x stride patches into one token.

    Attributes:
        stride: side of a window in patches.
    """

    stride: int

    @abstractmethod
    def forward(
        self, windows: Float[Tensor, "windows patches width"], frames: Groups
    ) -> Float[Tensor, "windows width"]:
        """Return one token per window; its patches come row by row, and `frames` groups the windows."""


class DownsamplingPlacement(nn.Module, ABC):
    """Says where in the block windows are merged: one of the two methods that are given the downsampling calls it."""

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
            downsampling: merges windows.
            patches: all patch embeddings, padding included.
            shift: (rows, columns) of patches in front of the first cell, less than the side of a cell.
        """

    @abstractmethod
    def make_tokens(
        self, downsampling: SpatialDownsampling, windows: Float[Tensor, "windows cells width"], frames: Groups
    ) -> Float[Tensor, "windows width"]:
        """Return the tokens of the valid rectangles, given the cells in the window of each; `frames` groups them."""


class FrameAggregator(nn.Module, ABC):
    """Condenses the downsampled tokens of a frame into one token, the frame context."""

    @abstractmethod
    def forward(self, tokens: Float[Tensor, "windows width"], frames: Groups) -> Float[Tensor, "frames width"]:
        """Return one token per frame; `frames` groups the windows."""


class ContextFusion(nn.Module, ABC):
    """Makes the context token of a frame out of the contexts it reads.

    Attributes:
        reads_frame: whether the frame context is used.
        reads_video: whether the video context is used.
        tokens_per_frame: context tokens in front of every frame, 0 or 1.
        shortest_video: frames from which a clip takes the video path; shorter ones are images, which skip local
            encoding, video aggregation and fusion.
    """

    reads_frame: bool
    reads_video: bool
    tokens_per_frame: int = 1
    shortest_video: int = 2

    @abstractmethod
    def forward(
        self,
        frame_context: Float[Tensor, "frames width"],
        video_context: Float[Tensor, "video_frames width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "contexts width"]:
        """Return the context tokens of all frames.

        Args:
            frame_context: of every frame, images included.
            video_context: that of the chunk which the frame is in, for the frames of videos.
            video_frames: which of all frames these are.
        """


class RowTokens(nn.Module, ABC):
    """Marks where a row of tokens ends.

    Attributes:
        tokens_per_row: tokens after every row, 0 or 1.
    """

    tokens_per_row: int

    @abstractmethod
    def forward(self, features: Float[Tensor, "features width"]) -> Float[Tensor, "features_and_marks width"]:
        """Append the token that ends rows, once: the token order repeats it."""
