"""Statistics that the batch normalisation of LSTE uses in training; in evaluation it uses the running statistics."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from components.groups import Groups
from components.stab.grid import Area


class NormalisationStatistics(nn.Module, ABC):
    """Applies a batch normalisation with certain statistics: a slot of `LSTE`."""

    @abstractmethod
    def forward(
        self, norm: nn.Module, tokens: Float[Tensor, "tokens width"], area: Area, clips: Groups
    ) -> Float[Tensor, "tokens width"]:
        """Return the normalised tokens.

        Args:
            norm: weights and running statistics: an `nn.BatchNorm1d`, or the class by which a strategy replaced it.
            tokens: tokens of all clips.
            area: the cells of the grid that they are of.
            clips: grouping of the frames of the grid by clip.
        """


class BatchStatistics(NormalisationStatistics):
    """Statistics over all clips of the batch together, separately on each device.

    `trainer.sync_batchnorm: true` joins those of all devices, on GPUs and with the strategy ddp. They then include the
    stand-in clip with which a device without a readable clip trains.
    """

    def forward(
        self, norm: nn.Module, tokens: Float[Tensor, "tokens width"], area: Area, clips: Groups
    ) -> Float[Tensor, "tokens width"]:
        """Normalise with the statistics of the batch."""
        normalised: Tensor = norm(tokens)
        return normalised


class ClipStatistics(NormalisationStatistics):
    """Statistics over each clip separately (official: the block encodes one clip at a time).

    The running statistics are updated once per clip, in the order of the batch.
    """

    def forward(
        self, norm: nn.Module, tokens: Float[Tensor, "tokens width"], area: Area, clips: Groups
    ) -> Float[Tensor, "tokens width"]:
        """Normalise with the statistics of each clip."""
        if not norm.training:  # `norm` may be of another class: with `sync_batchnorm`, Lightning replaces it
            evaluated: Tensor = norm(tokens)
            return evaluated
        assert isinstance(norm, nn.BatchNorm1d | nn.SyncBatchNorm)
        values = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
        rows, columns = area.spread(values).shape[1:3]

        def total(values: Tensor) -> Tensor:
            return clips.total(area.spread(values).sum((1, 2)))

        def of_tokens(statistics: Tensor) -> Tensor:
            return area.pick(clips.spread(statistics)[:, None, None].expand(-1, rows, columns, -1))

        count = total(values.new_ones(len(values), 1))
        mean = total(values) / count
        centred = values - of_tokens(mean)
        variance = total(centred.square()) / count
        self._move(norm, mean.detach(), variance.detach() * count / (count - 1))
        scaled = centred * of_tokens((variance + norm.eps).rsqrt())
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
        self, norm: nn.Module, tokens: Float[Tensor, "tokens width"], area: Area, clips: Groups
    ) -> Float[Tensor, "tokens width"]:
        """Normalise with the running statistics."""
        if not norm.training:
            evaluated: Tensor = norm(tokens)
            return evaluated
        assert isinstance(norm, nn.BatchNorm1d | nn.SyncBatchNorm)
        return F.batch_norm(tokens, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
