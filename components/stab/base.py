"""The contracts of STAB's slots: what each part is given and what it must return.

A part takes the width first, the video aggregator and the fusion a dropout after it, and then settings of its own,
which are chosen in YAML. An absent part is a class of its family (`NoLocalEncoding`, ...) that has no parameters.

Legend: "frames" are those of the whole batch; "video_frames" those of clips that take the video path, i.e. not images.
"""

from abc import ABC, abstractmethod

from jaxtyping import Float, Int64
from torch import Tensor, nn

from components.stab.chunks import Chunks
from components.stab.groups import Groups


class PositionEncoding(nn.Module, ABC):
    """Adds to every token something that depends on where it is: a slot of `LSTE`."""

    @abstractmethod
    def forward(
        self, tokens: Float[Tensor, "video_frames rows columns width"], chunks: Chunks
    ) -> Float[Tensor, "video_frames rows columns width"]:
        """Return the tokens with their position encoding added."""


class LocalEncoding(nn.Module, ABC):
    """Relates patches to their neighbours in space and time, on the whole canvas."""

    @abstractmethod
    def forward(
        self, patches: Float[Tensor, "video_frames rows columns width"], chunks: Chunks
    ) -> Float[Tensor, "video_frames rows columns width"]:
        """Return the encoded patches, which the video aggregator reads."""

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
        self, encoded: Float[Tensor, "video_frames rows columns width"], chunks: Chunks
    ) -> Float[Tensor, "chunks width"]:
        """Return one token per chunk."""


class SpatialDownsampling(nn.Module, ABC):
    """Merges each window of stride x stride patches into one token.

    Attributes:
        stride: side of a window in patches.
    """

    stride: int

    @abstractmethod
    def forward(self, windows: Float[Tensor, "windows patches width"]) -> Float[Tensor, "windows width"]:
        """Return one token per window; its patches come row by row."""


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
