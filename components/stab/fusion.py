"""Context fusion: the one token in front of a frame, made of what its frame and its chunk have to say."""

from abc import abstractmethod

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from components.stab.base import ContextFusion


class _Projection(nn.Sequential):
    """The paper's f_proj: layer norm, dropout and a linear layer, without residual."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, width)


class _WeightedFusion(ContextFusion):
    """f_proj((1 - w) * video + w * frame); the context token of an image is its frame context itself (official)."""

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
        weight = self.weight()
        mixed = (1 - weight) * video_context + weight * frame_context.index_select(0, video_frames)
        return frame_context.index_copy(0, video_frames, self.projection(mixed).to(frame_context.dtype))


class LearnedFusion(_WeightedFusion):
    """f_proj((1 - w) * video + w * frame) with w = sigmoid(balance) learned per channel (paper section 3.1, alpha).

    The context token of an image is its frame context itself (official). Initialisation: balance 0, i.e. both contexts
    count the same; PyTorch's default for f_proj.
    """

    def __init__(self, width: int, dropout: float = 0.5) -> None:
        """Build the layers.

        Args:
            width: size of a token.
            dropout: in front of the linear layer, while training.
        """
        super().__init__()
        self.balance = nn.Parameter(torch.zeros(width))
        self.projection = _Projection(width, dropout)

    def weight(self) -> Float[Tensor, " width"]:
        """Return the learned weight of the frame context."""
        return self.balance.sigmoid()


class FixedFusion(_WeightedFusion):
    """f_proj((1 - w) * video + w * frame) with the same w for all channels, which is not learned."""

    def __init__(self, width: int, dropout: float = 0.5, frame_weight: float = 0.5) -> None:
        """Build the layers.

        Args:
            width: size of a token.
            dropout: in front of the linear layer, while training.
            frame_weight: w, above 0 and below 1; with one context alone there are `FrameOnly` and `VideoOnly`.

        Raises:
            ValueError: the weight leaves out a context.
        """
        super().__init__()
        if not 0 < frame_weight < 1:
            raise ValueError(f"fusion.init_args.frame_weight: {frame_weight} is not between 0 and 1")
        self.frame_weight = frame_weight
        self.projection = _Projection(width, dropout)

    def weight(self) -> float:
        """Return the fixed weight of the frame context."""
        return self.frame_weight


class SumFusion(ContextFusion):
    """frame + video, with nothing learned in between.

    There is no f_proj: it begins with a layer norm, so of a sum it would make what it makes of `FixedFusion`'s mean.
    The context token of an image is its frame context, as in `LearnedFusion`.
    """

    reads_frame = True
    reads_video = True

    def __init__(self, width: int, dropout: float = 0.5) -> None:
        """Take what every fusion takes.

        Args:
            width: size of a token.
            dropout: has no use here.
        """
        super().__init__()

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
            dropout: in front of the linear layer, while training.
        """
        super().__init__()
        self.projection = _Projection(width, dropout)


class FrameOnly(_OneContext):
    """f_proj(frame), for an encoder without video aggregator.

    The context token of an image is its frame context itself, as in `LearnedFusion`.
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
        projected = self.projection(frame_context.index_select(0, video_frames))
        return frame_context.index_copy(0, video_frames, projected.to(frame_context.dtype))


class BareFrame(ContextFusion):
    """The frame context as it is, without f_proj: EVE's class token (official: the path of images)."""

    reads_frame = True
    reads_video = False

    def __init__(self, width: int, dropout: float = 0.5) -> None:
        """Take what every fusion takes.

        Args:
            width: size of a token.
            dropout: has no use here.
        """
        super().__init__()

    def forward(
        self,
        frame_context: Float[Tensor, "frames width"],
        video_context: Float[Tensor, "video_frames width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "frames width"]:
        """Return the frame context."""
        return frame_context


class VideoOnly(_OneContext):
    """f_proj(video), for an encoder without frame aggregator.

    There is no frame context that could stand for an image, so an image is a video of one frame here.
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
    """No context token at all, for an encoder without aggregators; frames then begin with their first row."""

    reads_frame = False
    reads_video = False
    tokens_per_frame = 0

    def __init__(self, width: int, dropout: float = 0.5) -> None:
        """Take what every fusion takes.

        Args:
            width: size of a token.
            dropout: has no use here.
        """
        super().__init__()

    def forward(
        self,
        frame_context: Float[Tensor, "frames width"],
        video_context: Float[Tensor, "video_frames width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "0 width"]:
        """Return no token."""
        return frame_context[:0]
