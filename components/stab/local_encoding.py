"""Local spatio-temporal encoding: patches learn about their neighbours in space and time."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from components.stab.base import Connection, LocalEncoding, NormalisationStatistics, PositionEncoding
from components.stab.chunks import Chunks
from components.stab.statistics import BatchStatistics
from components.stab.valid_area import ValidArea


class DenseConnection(Connection):
    """Adds the patch embeddings once more (official; its own comment calls that optional)."""

    def forward(
        self,
        patches: Float[Tensor, "frames rows columns width"],
        encoded: Float[Tensor, "video_frames rows columns width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "frames rows columns width"]:
        """Add the encoded patches to the patch embeddings."""
        return patches.index_add(0, video_frames, encoded.to(patches.dtype))


class NoDenseConnection(Connection):
    """Hands on the encoded patches alone."""

    def forward(
        self,
        patches: Float[Tensor, "frames rows columns width"],
        encoded: Float[Tensor, "video_frames rows columns width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "frames rows columns width"]:
        """Put the encoded patches in the place of the patch embeddings."""
        return patches.index_copy(0, video_frames, encoded.to(patches.dtype))


class DynamicPositionEncoding(PositionEncoding):
    """Depthwise 3x3x3 convolution over time and space, zero padding, added to its input (paper: DPE).

    Initialisation: PyTorch's default for the weight, zero bias (official).
    """

    def __init__(self, width: int) -> None:
        """Build the weights.

        Args:
            width: size of a token.
        """
        super().__init__()
        convolution = nn.Conv3d(width, width, kernel_size=3, groups=width)
        self.weight = nn.Parameter(convolution.weight.detach())
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(
        self, tokens: Float[Tensor, "video_frames rows columns width"], chunks: Chunks
    ) -> Float[Tensor, "video_frames rows columns width"]:
        """Add the encoding; time does not cross the borders of chunks."""
        # One 2D convolution per time tap: frames stay packed, and its backward pass is about twice as fast as in 3D.
        images = tokens.permute(0, 3, 1, 2)
        before, here, after = (
            F.conv2d(images, taps, bias, padding=1, groups=len(self.weight)).permute(0, 2, 3, 1)
            for taps, bias in zip(self.weight.unbind(2), (None, self.bias, None), strict=True)
        )
        return chunks.add_neighbours(tokens + here, before, after)


class NoPositionEncoding(PositionEncoding):
    """Leaves tokens without position."""

    def __init__(self, width: int) -> None:
        """Take what every position encoding takes.

        Args:
            width: size of a token.
        """
        super().__init__()

    def forward(
        self, tokens: Float[Tensor, "video_frames rows columns width"], chunks: Chunks
    ) -> Float[Tensor, "video_frames rows columns width"]:
        """Return the tokens."""
        return tokens


class TemporalConvolution(nn.Module):
    """Depthwise convolution over 3 frames, zero padding at chunk borders; initialised as PyTorch does Conv1d."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        bound = 3**-0.5  # what PyTorch draws from for 3 inputs
        self.weight = nn.Parameter(torch.empty(channels, 3).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels).uniform_(-bound, bound))

    def forward(
        self, tokens: Float[Tensor, "video_frames rows columns channels"], chunks: Chunks
    ) -> Float[Tensor, "video_frames rows columns channels"]:
        """Convolve along time."""
        before, here, after = self.weight.to(tokens.dtype).unbind(1)
        mixed = torch.addcmul(self.bias.to(tokens.dtype), tokens, here)
        return chunks.add_neighbours(mixed, tokens * before, tokens * after)


class LSTE(LocalEncoding):
    """Local spatio-temporal encoding (paper section 3.1, "LSTE"; official: `lmhra1` and `dpe`).

    x1 = x + expand(temporal(reduce(norm(x)))) with 1x1x1 convolutions as reduce and expand, then the position encoding.
    The patch embeddings are added once more before the downsampling reads the result (the paper's dense connection).

    Batch normalisation takes its statistics from all frames of the videos of a batch, padding included; with
    `statistics: ClipStatistics` from each video on its own, as in the official code. Initialisation: the last 1x1x1
    convolution is zero, weight and bias, so that training starts from x1 = x (official); PyTorch's default elsewhere.
    """

    def __init__(
        self,
        width: int,
        position_encoding: Callable[[int], PositionEncoding] = DynamicPositionEncoding,
        connection: Callable[[], Connection] = DenseConnection,
        statistics: Callable[[], NormalisationStatistics] = BatchStatistics,
    ) -> None:
        """Build the layers.

        Args:
            width: size of a token.
            position_encoding: added after the temporal convolution.
            connection: what the downsampling reads beside the encoded patches.
            statistics: whose statistics the batch normalisation takes while training.
        """
        super().__init__()
        reduced = int(width / 1.5)
        self.norm = nn.BatchNorm1d(width)
        self.reduce = nn.Linear(width, reduced)
        self.temporal = TemporalConvolution(reduced)
        self.expand = nn.Linear(reduced, width)
        nn.init.zeros_(self.expand.weight)
        nn.init.zeros_(self.expand.bias)
        self.position_encoding = position_encoding(width)
        self.connection = connection()
        self.statistics = statistics()

    def forward(
        self, patches: Float[Tensor, "video_frames rows columns width"], chunks: Chunks, valid: ValidArea
    ) -> Float[Tensor, "video_frames rows columns width"]:
        """Encode the patches of videos, inside their chunks."""
        clip = chunks.clips.group.repeat_interleave(patches.shape[1] * patches.shape[2])
        normalised = self.normalise(patches.flatten(0, 2), clip, chunks).unflatten(0, patches.shape[:3])
        tokens = patches + self.expand(self.temporal(self.reduce(normalised), chunks))
        encoded: Tensor = self.position_encoding(tokens, chunks)
        return encoded

    def connect(
        self,
        patches: Float[Tensor, "frames rows columns width"],
        encoded: Float[Tensor, "video_frames rows columns width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "frames rows columns width"]:
        """Combine the encoded patches with the patch embeddings: the dense connection."""
        connected: Tensor = self.connection(patches, encoded, video_frames)
        return connected

    def normalise(
        self, tokens: Float[Tensor, "tokens width"], clip: Int64[Tensor, " tokens"], chunks: Chunks
    ) -> Float[Tensor, "tokens width"]:
        """Normalise tokens, which are of these clips."""
        normalised: Tensor = self.statistics(self.norm, tokens, clip, len(chunks.clips.members))
        return normalised


class NoLocalEncoding(LocalEncoding):
    """Leaves patches as they are embedded; there is then nothing to connect either."""

    def __init__(self, width: int) -> None:
        """Take what every local encoding takes.

        Args:
            width: size of a token.
        """
        super().__init__()

    def forward(
        self, patches: Float[Tensor, "video_frames rows columns width"], chunks: Chunks, valid: ValidArea
    ) -> Float[Tensor, "video_frames rows columns width"]:
        """Return the patches."""
        return patches

    def connect(
        self,
        patches: Float[Tensor, "frames rows columns width"],
        encoded: Float[Tensor, "video_frames rows columns width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "frames rows columns width"]:
        """Return the patch embeddings."""
        return patches
