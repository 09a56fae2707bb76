"""Which statistics the batch normalisation of LSTE takes while training; in evaluation it takes the running ones."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F


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


class BatchStatistics(NormalisationStatistics):
    """Statistics of all clips of the batch together, on each device on its own.

    `trainer.sync_batchnorm: true` joins them, on GPUs and with the strategy ddp; then the clip of a stand-in, which a
    device without a readable clip trains with, is among them.
    """

    def forward(
        self, norm: nn.Module, tokens: Float[Tensor, "tokens width"], clip: Int64[Tensor, " tokens"], clips: int
    ) -> Float[Tensor, "tokens width"]:
        """Normalise."""
        normalised: Tensor = norm(tokens)
        return normalised


class ClipStatistics(NormalisationStatistics):
    """Statistics of each clip on its own (official: one clip at a time goes through the block).

    The running statistics move once per clip, in the order of the batch.
    """

    def forward(
        self, norm: nn.Module, tokens: Float[Tensor, "tokens width"], clip: Int64[Tensor, " tokens"], clips: int
    ) -> Float[Tensor, "tokens width"]:
        """Normalise."""
        if not norm.training:  # of any class: `sync_batchnorm` makes Lightning put in its own
            evaluated: Tensor = norm(tokens)
            return evaluated
        assert isinstance(norm, nn.BatchNorm1d | nn.SyncBatchNorm)
        values = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
        sums = values.new_zeros(clips, values.shape[1])
        count = values.new_zeros(clips, 1).index_add(0, clip, values.new_ones(len(values), 1))
        mean = sums.index_add(0, clip, values) / count
        centred = values - mean.index_select(0, clip)
        variance = sums.index_add(0, clip, centred.square()) / count
        self._move(norm, mean.detach(), variance.detach() * count / (count - 1))
        scaled = centred * (variance + norm.eps).rsqrt().index_select(0, clip)
        return (scaled * norm.weight + norm.bias).to(tokens.dtype)

    @staticmethod
    def _move(
        norm: nn.BatchNorm1d | nn.SyncBatchNorm,
        mean: Float[Tensor, "clips width"],
        variance: Float[Tensor, "clips width"],
    ) -> None:
        """Move the running statistics by one step per clip, all at once."""
        assert norm.momentum is not None and norm.running_mean is not None and norm.running_var is not None
        clips, keep = len(mean), 1 - norm.momentum
        share = norm.momentum * keep ** torch.arange(clips - 1, -1, -1, device=mean.device)  # of each in the result
        for running, statistics in ((norm.running_mean, mean), (norm.running_var, variance)):
            running.mul_(keep**clips).add_(share.to(statistics.dtype) @ statistics)
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(clips)


class FrozenStatistics(NormalisationStatistics):
    """Running statistics while training too, which do not change: for weights that were trained elsewhere."""

    def forward(
        self, norm: nn.Module, tokens: Float[Tensor, "tokens width"], clip: Int64[Tensor, " tokens"], clips: int
    ) -> Float[Tensor, "tokens width"]:
        """Normalise."""
        if not norm.training:
            evaluated: Tensor = norm(tokens)
            return evaluated
        assert isinstance(norm, nn.BatchNorm1d | nn.SyncBatchNorm)
        return F.batch_norm(tokens, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
