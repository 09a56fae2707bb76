"""Local spatio-temporal encoding: relates patches to their neighbours in space and time."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from components.stab.grid import Area, Chunks, ValidArea, WholeCanvas, with_videos
from components.stab.position_encoding import DynamicPositionEncoding, PositionEncoding
from components.stab.statistics import BatchStatistics, NormalisationStatistics


class LocalEncoding(nn.Module, ABC):
    """Relates patches to their neighbours in space and time."""

    def __init__(self, width: int) -> None:
        """Initialise with the width, which every local encoding gets from the block.

        Args:
            width: size of a token.
        """
        super().__init__()

    @abstractmethod
    def forward(
        self, patches: Float[Tensor, "video_frames rows columns width"], chunks: Chunks, valid: ValidArea
    ) -> Float[Tensor, "video_frames rows columns width"]:
        """Return the encoded patches, which the video aggregator reads; `valid` marks those that are not padding."""

    @abstractmethod
    def connect(
        self,
        patches: Float[Tensor, "frames rows columns width"],
        encoded: Float[Tensor, "video_frames rows columns width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "frames rows columns width"]:
        """Combine patch embeddings and encoded patches into the input of the spatial downsampling.

        Frames that are not in `video_frames` are images and keep their patch embeddings.
        """


class Connection(nn.Module, ABC):
    """Combines patch embeddings and encoded patches into the input of the downsampling: a slot of `LSTE`."""

    @abstractmethod
    def forward(
        self,
        patches: Float[Tensor, "frames rows columns width"],
        encoded: Float[Tensor, "video_frames rows columns width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "frames rows columns width"]:
        """Return the combination; frames that are not in `video_frames` are images and keep their patch embeddings."""


class DenseConnection(Connection):
    """Adds the patch embeddings to the encoded patches (official, called optional in a comment; not in the paper)."""

    def forward(
        self,
        patches: Float[Tensor, "frames rows columns width"],
        encoded: Float[Tensor, "video_frames rows columns width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "frames rows columns width"]:
        """Add the encoded patches to the patch embeddings."""
        encoded = encoded.to(patches.dtype)
        if len(encoded) == len(patches):  # no images
            return patches + encoded
        return patches.index_add(0, video_frames, encoded)


class NoDenseConnection(Connection):
    """Uses the encoded patches alone."""

    def forward(
        self,
        patches: Float[Tensor, "frames rows columns width"],
        encoded: Float[Tensor, "video_frames rows columns width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "frames rows columns width"]:
        """Replace the patch embeddings by the encoded patches."""
        return with_videos(patches, encoded, video_frames)


def filled(parameter: Tensor, dim: int) -> Tensor:
    """Return a parameter with zeros behind its channels along `dim`, up to a multiple of 8.

    Rows of a matrix then begin at multiples of 16 bytes in bfloat16, which suits tensor cores: 688 channels for the 682
    of the paper's width. Those that are added are zero from `Reduce` to `Expand`, so that the result is the same.
    """
    missing = -parameter.shape[dim] % 8
    return F.pad(parameter, [0, 0] * (parameter.dim() - 1 - dim) + [0, missing]) if missing else parameter


class Reduce(nn.Linear):
    """Linear layer to fewer channels, which are filled up with zeros (see `filled`): Conv3D_1 of paper eq. 2."""

    def forward(self, tokens: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape channels"]:
        """Project every token."""
        return F.linear(tokens, filled(self.weight, 0), filled(self.bias, 0))


class Expand(nn.Linear):
    """Linear layer from channels that are filled up with zeros (see `filled`): Conv3D_3 of paper eq. 2."""

    def forward(self, channels: Float[Tensor, "*shape channels"]) -> Float[Tensor, "*shape width"]:
        """Project the channels of every token."""
        return F.linear(channels, filled(self.weight, 1), self.bias)


class TemporalConvolution(nn.Module):
    """Depthwise convolution over 3 frames (Conv3D_2 of paper eq. 2), with zero padding at chunk borders.

    Its channels are filled up with zeros (see `filled`). Initialisation: PyTorch's default for a Conv1d.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        bound = 3**-0.5  # PyTorch's bound for 3 inputs
        self.weight = nn.Parameter(torch.empty(channels, 3).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels).uniform_(-bound, bound))

    def forward(
        self, tokens: Float[Tensor, "video_frames rows columns channels"], chunks: Chunks
    ) -> Float[Tensor, "video_frames rows columns channels"]:
        """Convolve along time."""
        before, here, after = filled(self.weight.to(tokens.dtype), 0).unbind(1)
        mixed = torch.addcmul(filled(self.bias.to(tokens.dtype), 0), tokens, here)
        return chunks.add_neighbours(mixed, tokens * before, tokens * after)


class LSTE(LocalEncoding):
    """Local spatio-temporal encoding (paper section 3.1, eqs. 2 and 3; official: `lmhra1` and `dpe`).

    x1 = x + expand(temporal(reduce(norm(x)))) with 1x1x1 convolutions as reduce and expand, then the position encoding.
    The patch embeddings are added to the result before the downsampling reads it (the dense connection).

    Batch normalisation uses statistics over all frames of the videos of a batch, padding included, or with
    `statistics: ClipStatistics` over each video separately, as in the official code. Initialisation: weight and bias of
    the last 1x1x1 convolution are zero, so that training starts from x1 = x (official); PyTorch's default elsewhere.
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
            position_encoding: position encoding, applied after the temporal convolution.
            connection: how patch embeddings and encoded patches are combined for the downsampling.
            statistics: statistics that the batch normalisation uses in training.
        """
        super().__init__(width)
        reduced = int(width / 1.5)
        self.norm = nn.BatchNorm1d(width)
        self.reduce = Reduce(width, reduced)
        self.temporal = TemporalConvolution(reduced)
        self.expand = Expand(reduced, width)
        nn.init.zeros_(self.expand.weight)
        nn.init.zeros_(self.expand.bias)
        self.position_encoding = position_encoding(width)
        self.connection = connection()
        self.statistics = statistics()

    def forward(
        self, patches: Float[Tensor, "video_frames rows columns width"], chunks: Chunks, valid: ValidArea
    ) -> Float[Tensor, "video_frames rows columns width"]:
        """Encode the patches of videos, within their chunks."""
        area = self.area(patches, valid)
        cells = area.pick(patches)
        normalised = self.statistics(self.norm, cells, area, chunks.clips)
        reduced = area.spread(self.reduce(normalised))
        tokens = cells + self.expand(area.pick(self.temporal(reduced, chunks)))
        encoded = self.position_encoding(area.spread(tokens), chunks)
        return area.spread(area.pick(encoded))

    def area(self, patches: Float[Tensor, "video_frames rows columns width"], valid: ValidArea) -> Area:
        """Return the cells that are encoded: all of them, those of padding included."""
        return WholeCanvas((patches.shape[0], patches.shape[1], patches.shape[2]))

    def connect(
        self,
        patches: Float[Tensor, "frames rows columns width"],
        encoded: Float[Tensor, "video_frames rows columns width"],
        video_frames: Int64[Tensor, " video_frames"],
    ) -> Float[Tensor, "frames rows columns width"]:
        """Combine the encoded patches with the patch embeddings: the dense connection."""
        connected: Tensor = self.connection(patches, encoded, video_frames)
        return connected


class MaskedLSTE(LSTE):
    """LSTE of the valid cells only, as if the canvas ended at the picture (paper section 4.1: "valid tokens").

    It has the parameters of `LSTE` and computes the same for a frame that fills its canvas. Padding is zero in both
    convolutions and in the result, and is left out of the statistics of the batch normalisation. The linear layers skip
    it, so this is cheaper than `LSTE` for frames with padding.
    """

    def area(self, patches: Float[Tensor, "video_frames rows columns width"], valid: ValidArea) -> Area:
        """Return the valid cells."""
        return valid


class NoLocalEncoding(LocalEncoding):
    """No local encoding: keeps the patch embeddings (paper table 4, "without LSTE")."""

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
