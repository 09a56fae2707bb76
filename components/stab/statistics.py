"""Statistics that the batch normalisation of LSTE uses in training; in evaluation it uses the running statistics."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F


class NormalisationStatistics(nn.Module, ABC):
    """Applies a batch normalisation with certain statistics: a slot of `LSTE`."""

    @abstractmethod
    def forward(
        self, norm: nn.Module, tokens: Float[Tensor, "tokens width"], clip: Int64[Tensor, " tokens"], clips: int
    ) -> Float[Tensor, "tokens width"]:
        """Return the normalised tokens.

        Args:
            norm: weights and running statistics: an `nn.BatchNorm1d`, or the class by which a strategy replaced it.
            tokens: tokens of all clips.
            clip: index of the clip of each token.
            clips: number of clips.
        """


class BatchStatistics(NormalisationStatistics):
    """Statistics over all clips of the batch together, separately on each device.

    `trainer.sync_batchnorm: true` joins those of all devices, on GPUs and with the strategy ddp. They then include the
    stand-in clip with which a device without a readable clip trains.
    """

    def forward(
        self, norm: nn.Module, tokens: Float[Tensor, "tokens width"], clip: Int64[Tensor, " tokens"], clips: int
    ) -> Float[Tensor, "tokens width"]:
        """Normalise with the statistics of the batch."""
        normalised: Tensor = norm(tokens)
        return normalised


class ClipStatistics(NormalisationStatistics):
    """Statistics over each clip separately (official: the block encodes one clip at a time).

    The running statistics are updated once per clip, in the order of the batch.
    """

    def forward(
        self, norm: nn.Module, tokens: Float[Tensor, "tokens width"], clip: Int64[Tensor, " tokens"], clips: int
    ) -> Float[Tensor, "tokens width"]:
        """Normalise with the statistics of each clip."""
        if not norm.training:  # `norm` may be of another class: with `sync_batchnorm`, Lightning replaces it
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
        """Update the running statistics by one step per clip, all at once."""
        assert norm.momentum is not None and norm.running_mean is not None and norm.running_var is not None
        clips, keep = len(mean), 1 - norm.momentum
        share = norm.momentum * keep ** torch.arange(
            clips - 1, -1, -1, device=mean.device
        )  # share of each clip in the result
        for running, statistics in ((norm.running_mean, mean), (norm.running_var, variance)):
            running.mul_(keep**clips).add_(share.to(statistics.dtype) @ statistics)
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(clips)


class FrozenStatistics(NormalisationStatistics):
    """Running statistics in training too, without updating them: for weights that were trained elsewhere."""

    def forward(
        self, norm: nn.Module, tokens: Float[Tensor, "tokens width"], clip: Int64[Tensor, " tokens"], clips: int
    ) -> Float[Tensor, "tokens width"]:
        """Normalise with the running statistics."""
        if not norm.training:
            evaluated: Tensor = norm(tokens)
            return evaluated
        assert isinstance(norm, nn.BatchNorm1d | nn.SyncBatchNorm)
        return F.batch_norm(tokens, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
