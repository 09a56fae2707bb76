"""Weights that need not be float32 are held in bfloat16 under `bf16-mixed`, with the same results bit by bit.

Autocast rounds the weight of a linear layer to bfloat16 in every call, and remembers the result only for weights that
are trained, and only in a forward pass with gradients. So a frozen language model would be read in float32 and rounded
for every batch, and any language model for every generated token. Here such weights are rounded once. Embeddings and
norms, which autocast leaves alone, stay in float32, and so do adapters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from lightning_modules.video_language import VideoLanguageModel


class BFloat16Weights(Callback):
    """Rounds frozen pretrained weights and the teacher for a training, and the language model for an evaluation.

    What a training rounds stays so in this process: its exact values are those of its source. After an evaluation the
    exact weights, kept on the host, are put back. Sharded models are left as they are.
    """

    def __init__(self) -> None:
        self.exact: list[tuple[nn.Parameter, Tensor]] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Round what is frozen and not in checkpoints, after their hash of the exact weights is known."""
        if not (model := _computes_in_bf16(trainer, pl_module)):
            return
        model.frozen_base.left_out()
        round_frozen(model)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Round the language model, unless it is being trained."""
        if trainer.state.fn != TrainerFn.FITTING and (model := _computes_in_bf16(trainer, pl_module)):
            weights = list(_matrices(model.language_model, model.language_model.base_names))
            self.exact = [(weight, weight.data.cpu()) for weight in weights]
            _round(weights)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the exact weights back."""
        with torch.inference_mode(False):
            for weight, exact in self.exact:
                weight.data = exact.to(weight.device)
        self.exact = []

    on_test_start = on_predict_start = on_validation_start
    on_test_end = on_predict_end = on_validation_end

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Put the exact weights back."""
        self.on_validation_end(trainer, pl_module)


def round_frozen(model: VideoLanguageModel) -> None:
    """Round the frozen pretrained weights and the teacher of a model, which may be on the meta device."""
    for part in model.frozen_base.parts.values():
        if part.source is not None:
            assert isinstance(part, nn.Module)
            _round(weight for weight in _matrices(part, part.base_names) if not weight.requires_grad)
    if model.feature_cache.always_asks:  # else its features have names by its exact weights, and it runs seldom
        _round(_matrices(model.teacher, (name for name, _ in model.teacher.named_parameters())))


def _computes_in_bf16(trainer: Trainer, module: LightningModule) -> VideoLanguageModel | None:
    """Return the model if autocast rounds its weights to bfloat16."""
    plugin = trainer.precision_plugin
    rounds = isinstance(plugin, MixedPrecision) and plugin.precision == "bf16-mixed"
    return module if rounds and isinstance(module, VideoLanguageModel) and not isinstance(module, FSDPModule) else None


def _matrices(part: nn.Module, names: Iterable[str]) -> Iterator[nn.Parameter]:
    """Yield the float32 parameters with these names that only linear layers use."""
    linear, other = set[int](), set[int]()
    for module in part.modules():
        ids = map(id, module.parameters(recurse=False))
        (linear if isinstance(module, nn.Linear) else other).update(ids)
    parameters = dict(part.named_parameters(remove_duplicate=False))
    for weight in {id(parameters[name]): parameters[name] for name in names}.values():
        if id(weight) in linear - other and weight.dtype == torch.float32:
            yield weight


def _round(weights: Iterable[nn.Parameter]) -> None:
    with torch.inference_mode(False):  # in which evaluations run, and whose tensors could not be trained later
        for weight in weights:
            weight.data = weight.data.bfloat16()
