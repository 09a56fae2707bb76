"""Local spatio-temporal encoding: patches learn about their neighbours in space and time."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from components.stab.grid import Chunks, ValidArea
from components.stab.position_encoding import DynamicPositionEncoding, PositionEncoding
from components.stab.statistics import BatchStatistics, NormalisationStatistics


class LocalEncoding(nn.Module, ABC):
    """Relates patches to their neighbours in space and time."""

    def __init__(self, width: int) -> None:
        """Take what the block hands to every local encoding.

        Args:
            width: size of a token.
        """
        super().__init__()

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


class Connection(nn.Module, ABC):
    """Combines patch embeddings and encoded patches into what the downsampling reads: a slot of `LSTE`."""

    @abstractmethod
    def forward(
        self,
        patches: Float[Tensor, "frames rows columns width"],
        encoded: Float[Tensor, "video_frames rows columns width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "frames rows columns width"]:
        """Return the combination; frames that are not in `video_frames` are images and stay patch embeddings."""


class DenseConnection(Connection):
    """Adds the patch embeddings once more (not in the paper; official, where a comment calls it optional)."""

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


class TemporalConvolution(nn.Module):
    """Depthwise convolution over 3 frames (Conv3D_2 of paper eq. 2), with zero padding at chunk borders.

    Initialised as PyTorch initialises a Conv1d.
    """

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
    """Local spatio-temporal encoding (paper section 3.1, eqs. 2 and 3; official: `lmhra1` and `dpe`).

    x1 = x + expand(temporal(reduce(norm(x)))) with 1x1x1 convolutions as reduce and expand, then the position encoding.
    The patch embeddings are added once more before the downsampling reads the result (the dense connection).

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
        super().__init__(width)
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
        """Normalise tokens of these clips with the chosen statistics."""
        normalised: Tensor = self.statistics(self.norm, tokens, clip, len(chunks.clips.members))
        return normalised


class MaskedLSTE(LSTE):
    """LSTE of the valid cells alone, as if the canvas ended where the picture does (paper section 4.1: "valid tokens").

    It has the parameters of `LSTE` and computes the same where a frame fills its canvas. Padding counts as zero in both
    convolutions, is left out of the statistics of the batch normalisation, and comes out as zeros. The linear layers
    skip it, so this is cheaper than `LSTE` on any frame with padding.
    """

    def forward(
        self, patches: Float[Tensor, "video_frames rows columns width"], chunks: Chunks, valid: ValidArea
    ) -> Float[Tensor, "video_frames rows columns width"]:
        """Encode the valid cells, inside their chunks."""
        cells = valid.pick(patches)
        clip = chunks.clips.group.index_select(0, valid.cells // (patches.shape[1] * patches.shape[2]))
        reduced = valid.spread(self.reduce(self.normalise(cells, clip, chunks)))
        tokens = cells + self.expand(valid.pick(self.temporal(reduced, chunks)))
        encoded = self.position_encoding(valid.spread(tokens), chunks)
        return valid.spread(valid.pick(encoded))


class NoLocalEncoding(LocalEncoding):
    """Leaves patches as they are embedded, with nothing to connect (paper table 4, "without LSTE")."""

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
