"""Context fusion: makes the token before each frame from the contexts of the frame and of its chunk."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from components.stab.grid import of_videos, with_videos


class ContextFusion(nn.Module, ABC):
    """Makes the context token of a frame from the frame context, the video context, or both.

    Attributes:
        reads_frame: whether the frame context is used.
        reads_video: whether the video context is used.
        tokens_per_frame: number of context tokens before every frame, 0 or 1.
        shortest_video: minimum number of frames of a video; shorter clips are images, which skip local encoding, video
            aggregation and fusion.
    """

    reads_frame: bool
    reads_video: bool
    tokens_per_frame: int = 1
    shortest_video: int = 2

    def __init__(self, width: int, dropout: float = 0.5) -> None:
        """Initialise with the settings that every fusion gets from the block.

        Args:
            width: size of a token.
            dropout: dropout probability before the projection.
        """
        super().__init__()

    @abstractmethod
    def forward(
        self,
        frame_context: Float[Tensor, "frames width"],
        video_context: Float[Tensor, "video_frames width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "contexts width"]:
        """Return the context tokens of all frames.

        Args:
            frame_context: frame context of every frame, including images.
            video_context: video context of the chunk of each frame of a video.
            video_frames: indices of the frames of videos among all frames.
        """


class _Projection(nn.Sequential):
    """The f_proj of paper eq. 14: layer norm, dropout and a linear layer, without residual."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, width)


class _WeightedFusion(ContextFusion):
    """f_proj((1 - w) * video + w * frame); the context token of an image is its frame context alone (official)."""

    reads_frame = True
    reads_video = True
    projection: _Projection

    @abstractmethod
    def weight(self) -> Float[Tensor, " width"] | float:
        """Return w."""

    def forward(
        self,
        frame_context: Float[Tensor, "frames width"],
        video_context: Float[Tensor, "video_frames width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "frames width"]:
        """Fuse both contexts for the frames of videos."""
        mixed = video_context + self.weight() * (of_videos(frame_context, video_frames) - video_context)
        return with_videos(frame_context, self.projection(mixed), video_frames)


class LearnedFusion(_WeightedFusion):
    """f_proj((1 - w) * video + w * frame) with w = sigmoid(balance) learned per channel (paper eq. 14, alpha).

    The context token of an image is its frame context alone (official). Initialisation: balance 0, so that both
    contexts have equal weight; PyTorch's default for f_proj.
    """

    def __init__(self, width: int, dropout: float = 0.5) -> None:
        """Build the layers.

        Args:
            width: size of a token.
            dropout: dropout probability before the linear layer.
        """
        super().__init__(width, dropout)
        self.balance = nn.Parameter(torch.zeros(width))
        self.projection = _Projection(width, dropout)

    def weight(self) -> Float[Tensor, " width"]:
        """Return the learned weight of the frame context."""
        return self.balance.sigmoid()


class FixedFusion(_WeightedFusion):
    """f_proj((1 - w) * video + w * frame) with one fixed w for all channels."""

    def __init__(self, width: int, dropout: float = 0.5, frame_weight: float = 0.5) -> None:
        """Build the layers.

        Args:
            width: size of a token.
            dropout: dropout probability before the linear layer.
            frame_weight: weight w of the frame context, above 0 and below 1; for a single context use `FrameOnly` or
                `VideoOnly`.

        Raises:
            ValueError: the weight is out of range.
        """
        super().__init__(width, dropout)
        if not 0 < frame_weight < 1:
            raise ValueError(f"fusion.init_args.frame_weight: {frame_weight} is not between 0 and 1")
        self.frame_weight = frame_weight
        self.projection = _Projection(width, dropout)

    def weight(self) -> float:
        """Return the fixed weight of the frame context."""
        return self.frame_weight


class SumFusion(ContextFusion):
    """frame + video, without parameters.

    There is no f_proj: since it begins with a layer norm, its result would be that of `FixedFusion`, which takes the
    mean. The context token of an image is its frame context, as in `LearnedFusion`.
    """

    reads_frame = True
    reads_video = True

    def forward(
        self,
        frame_context: Float[Tensor, "frames width"],
        video_context: Float[Tensor, "video_frames width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "frames width"]:
        """Add the video context to the frames of videos."""
        return frame_context.index_add(0, video_frames, video_context.to(frame_context.dtype))


class _OneContext(ContextFusion):
    """f_proj of one of the two contexts."""

    def __init__(self, width: int, dropout: float = 0.5) -> None:
        """Build the layers.

        Args:
            width: size of a token.
            dropout: dropout probability before the linear layer.
        """
        super().__init__(width, dropout)
        self.projection = _Projection(width, dropout)


class FrameOnly(_OneContext):
    """f_proj(frame), for an encoder without video aggregator (paper table 4, "without GSTRA").

    The context token of an image is its frame context alone, as in `LearnedFusion`.
    """

    reads_frame = True
    reads_video = False

    def forward(
        self,
        frame_context: Float[Tensor, "frames width"],
        video_context: Float[Tensor, "video_frames width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "frames width"]:
        """Project the frame context of the frames of videos."""
        projected = self.projection(of_videos(frame_context, video_frames))
        return with_videos(frame_context, projected, video_frames)


class BareFrame(ContextFusion):
    """The frame context alone, without f_proj: the class token of EVE (official: the path of images)."""

    reads_frame = True
    reads_video = False

    def forward(
        self,
        frame_context: Float[Tensor, "frames width"],
        video_context: Float[Tensor, "video_frames width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "frames width"]:
        """Return the frame context."""
        return frame_context


class VideoOnly(_OneContext):
    """f_proj(video), for an encoder without frame aggregator (paper table 4, "without FSRA").

    Since there is no frame context, an image is treated as a video of one frame.
    """

    reads_frame = False
    reads_video = True
    shortest_video = 1

    def forward(
        self,
        frame_context: Float[Tensor, "frames width"],
        video_context: Float[Tensor, "frames width"],
        video_frames: Int64[Tensor, " frames"],
    ) -> Float[Tensor, "frames width"]:
        """Project the video context; every frame has one."""
        projected: Tensor = self.projection(video_context)
        return projected


class NoContext(ContextFusion):
    """No context token, for an encoder without aggregators; frames then begin with their first row."""

    reads_frame = False
    reads_video = False
    tokens_per_frame = 0

    def forward(
        self,
        frame_context: Float[Tensor, "frames width"],
        video_context: Float[Tensor, "video_frames width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "0 width"]:
        """Return no token."""
        return frame_context[:0]
