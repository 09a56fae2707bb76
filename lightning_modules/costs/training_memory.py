"""The memory of a training step on a device, computed on the meta device without allocating anything.

The tensors saved for the backward pass are counted while the model runs; weights, gradients, and AdamW's two moments of
every trained weight follow from their sizes. Not counted are memory reserved by libraries and the CUDA context,
fragmentation, and temporary buffers of single operations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from components.encoders import VideoShapes
from components.splice import IGNORED_LABEL, PLACEHOLDER
from datamodules.batch import Batch, PackedClips, SampleFacts
from lightning_modules.costs.meta_training import MetaAutocast, use_fused_attention
from lightning_modules.costs.peak_memory import Precision
from lightning_modules.training.model_input import ModelInput, prepare
from lightning_modules.video_language import VideoLanguageModel

GIB = 2**30


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes on one device.

    Attributes:
        weights: weights of the whole model, including the teacher.
        gradients: gradients of the trained weights.
        optimiser: AdamW's moments.
        activations: tensors saved for the backward pass, the largest recomputed layer, and copies of weights in lower
            precision.
        exchange: buffers for the exchange of weights and gradients between devices.
        temporary: temporary tensors of the optimiser's step.
        accumulates: whether gradients of earlier batches exist during a forward pass.
    """

    weights: int
    gradients: int
    optimiser: int
    activations: int
    exchange: int
    temporary: int
    accumulates: bool

    @property
    def peak(self) -> int:
        """Peak: the larger of the end of a forward pass and the optimiser's step."""
        forward = self.activations + (self.gradients if self.accumulates else 0)
        step = self.gradients + self.temporary
        return self.weights + self.optimiser + self.exchange + max(forward, step)


def training_memory(
    model: VideoLanguageModel, batch: ModelInput, precision: Precision, accumulates: bool
) -> TrainingMemory:
    """Return the memory of a step on a single device with the whole model.

    Args:
        model: model on the meta device, which is modified.
        batch: batch on the meta device.
        precision: number formats of weights and operations.
        accumulates: whether a step accumulates the gradients of several batches.
    """
    if precision.weights is not None:
        model.to(precision.weights)
    weights = size([*model.parameters(), *model.buffers()])
    trained = size(parameter for parameter in model.parameters() if parameter.requires_grad)
    return TrainingMemory(
        weights=weights,
        gradients=trained,
        optimiser=2 * trained,
        activations=_activations(model, batch, precision),
        exchange=0,
        # A fused step of AdamW allocates nothing; 16-mixed takes one that makes a tensor for each gradient.
        temporary=trained if precision.operations == torch.float16 else 0,
        accumulates=accumulates,
    )


def _activations(model: VideoLanguageModel, batch: ModelInput, precision: Precision) -> int:
    use_fused_attention(model.language_model.network)
    model.train()
    kept = _Kept(model)
    layers = model.language_model.units() if model.language_model.gradient_checkpointing else []
    autocast = MetaAutocast(precision.operations) if precision.operations is not None else nullcontext()
    with kept.counting(layers), autocast:
        kept.results = model.losses(batch)
    rest, inside = kept.bytes.pop(None, 0), kept.bytes
    # Of a recomputed layer only the input is saved; the largest layer exists once more in the backward pass.
    return rest + (kept.inputs + max(inside.values()) if inside else 0)


class _Kept:
    """Counts the storages that autograd saves, by layer.

    Attributes:
        bytes: layer -> bytes; None for those outside of all layers.
        inputs: bytes of the layers' inputs.
        results: losses, which keep the graph and its storages alive.
    """

    def __init__(self, model: nn.Module) -> None:
        self.bytes: Counter[int | None] = Counter()
        self.inputs = 0
        self.results: object = None
        self._seen = {id(storage): storage for storage in map(_storage, [*model.parameters(), *model.buffers()])}
        self._layer: int | None = None

    @contextmanager
    def counting(self, layers: list[nn.Module]) -> Iterator[None]:
        hooks = [handle for number, layer in enumerate(layers) for handle in self._watch(number, layer)]
        with torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor):
            yield
        for hook in hooks:
            hook.remove()

    def _watch(self, number: int, layer: nn.Module) -> Iterable[torch.utils.hooks.RemovableHandle]:
        def enter(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self._layer = number
            self.inputs += inputs[0].untyped_storage().nbytes()

        def leave(*_: object) -> None:
            self._layer = None

        return layer.register_forward_pre_hook(enter), layer.register_forward_hook(leave)

    def _keep(self, tensor: Tensor) -> Tensor:
        storage = _storage(tensor)
        if id(storage) not in self._seen:
            self._seen[id(storage)] = storage
            self.bytes[self._layer] += storage.nbytes()
        return tensor


def _storage(tensor: Tensor) -> torch.UntypedStorage:
    return tensor.untyped_storage()


def size(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of tensors, counting shared storages once."""
    return sum({id(storage): storage.nbytes() for storage in map(_storage, tensors)}.values())


def training_batch(
    model: VideoLanguageModel, frames: int, canvas: int, samples: int, text_tokens: int, device: torch.device
) -> ModelInput:
    """Return a training batch of a given size on `device`.

    Args:
        model: model that the batch is prepared for.
        frames: number of frames per clip.
        canvas: side of the encoder's canvas in pixels; the teacher has its own.
        samples: number of samples.
        text_tokens: number of text tokens per sample, without those of the clip; the second half are answers.
        device: device of its tensors.

    Raises:
        ValueError: encoder, teacher or language model do not take these sizes.
    """
    text = torch.zeros(text_tokens, dtype=torch.int64)
    targets = text.clone()
    targets[: text_tokens // 2] = IGNORED_LABEL
    ids = torch.cat([torch.tensor([PLACEHOLDER]), text])
    labels = torch.cat([torch.tensor([IGNORED_LABEL]), targets])
    teacher = None
    if model.distillation.hidden_layers:
        teacher = _clips(samples, frames, model.teacher.canvas, model.teacher.patch_size, device)
    batch = Batch(
        clips=_clips(samples, frames, canvas, model.encoder.patch_size, device),
        teacher_clips=teacher,
        input_ids=[ids] * samples,
        labels=[labels] * samples,
        samples=[SampleFacts(str(number), f"{number}.mp4", "", (), "", "") for number in range(samples)],
    )
    return prepare(batch, model.encoder, model.language_model, lambda: batch).to(device)


def _clips(clips: int, frames: int, canvas: int, patch_size: int, device: torch.device) -> PackedClips:
    side = canvas // patch_size
    shapes = VideoShapes(
        torch.full((clips,), frames), torch.tensor([0, 0, side, side]).expand(clips * frames, 4), (side, side)
    )
    return PackedClips(torch.zeros(clips * frames, 3, canvas, canvas, dtype=torch.uint8, device=device), shapes)
