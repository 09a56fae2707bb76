"""Models and batches on pretended devices: tensors with sizes, dtypes and a device, but without memory or values."""

from contextlib import contextmanager
from types import SimpleNamespace

import torch
from lightning.pytorch.plugins import HalfPrecision, MixedPrecision, Precision
from torch import nn
from torch._subclasses import FakeTensor, FakeTensorMode  # the documented place; they have no other
from torch.utils._pytree import tree_leaves

from components.encoders import VideoShapes
from components.splice import IGNORED_LABEL, PLACEHOLDER
from datamodules.batch import Batch, PackedClips, SampleFacts
from lightning_modules.training.model_input import prepare

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


class PretendedCuda(FakeTensorMode):
    """Pretends what is on a device, and computes what is on the host, where sizes and positions come from.

    A value that is read from the device is 0, so that a read can be counted and does not end the program.
    """

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default and isinstance(args[0], FakeTensor):
            return torch.zeros((), dtype=args[0].dtype).tolist()
        leaves = tree_leaves((args, kwargs or {}))
        if any(isinstance(leaf, FakeTensor) or (isinstance(leaf, torch.device) and leaf != CPU) for leaf in leaves):
            return super().__torch_dispatch__(func, types, args, kwargs)
        return func(*args, **(kwargs or {}))


@contextmanager
def pretended_cuda(monkeypatch):
    """Let torch make pretended tensors in here, and believe that there is a device which has bfloat16."""
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
    with PretendedCuda(allow_non_fake_inputs=True) as mode:
        yield mode


def moved(model, device):
    """Return the model with all parameters and buffers replaced by pretended ones; shared ones stay shared."""
    made = {}
    for module in list(model.modules()):
        tensors = [*module.named_parameters(recurse=False, remove_duplicate=False)]
        for name, tensor in [*tensors, *module.named_buffers(recurse=False, remove_duplicate=False)]:
            if id(tensor) not in made:
                empty = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
                if isinstance(tensor, nn.Parameter):
                    empty = nn.Parameter(empty, requires_grad=tensor.requires_grad)
                made[id(tensor)] = (empty, tensor)
            setattr(module, name, made[id(tensor)][0])
    return model


def on_one_device(model):
    """Return the model with a trainer that knows one device, which is all that its losses ask of it."""
    model.trainer = SimpleNamespace(strategy=None, world_size=1)
    return model


def precision(name, device):
    """Return Lightning's own precision of that name."""
    match name:
        case "32-true":
            return Precision()
        case "bf16-true":
            return HalfPrecision("bf16-true")
        case _:
            return MixedPrecision(name, device.type)


def ragged_batch(model, canvas, frame_counts, new_tokens=0, text_tokens=12):
    """Prepare a batch of clips of different lengths and shapes on the host, with texts of different lengths.

    Args:
        model: model that the batch is prepared for.
        canvas: side of the encoder's canvas in pixels.
        frame_counts: number of frames of each clip.
        new_tokens: longest answer to generate; 0 for a training.
        text_tokens: number of text tokens of the first sample; the others have more.
    """
    texts = [torch.zeros(text_tokens + 3 * number, dtype=torch.int64) for number in range(len(frame_counts))]
    marks = [torch.where(torch.arange(len(text)) < len(text) // 2, IGNORED_LABEL, text) for text in texts]
    clips = _clips(frame_counts, canvas, model.encoder.patch_size, model.encoder.stride)
    teacher = None
    if model.distillation.hidden_layers and not new_tokens:
        # Whole teacher patches cover the same part of the picture.
        side = model.teacher.canvas // model.teacher.patch_size
        shapes = VideoShapes(
            clips.shapes.frame_counts, torch.tensor([0, 0, side, side]).expand(sum(frame_counts), 4), (side, side)
        )
        pixels = torch.zeros(sum(frame_counts), 3, model.teacher.canvas, model.teacher.canvas, dtype=torch.uint8)
        teacher = PackedClips(pixels, shapes)
    batch = Batch(
        clips=clips,
        teacher_clips=teacher,
        input_ids=[torch.cat([torch.tensor([PLACEHOLDER]), text]) for text in texts],
        labels=[torch.cat([torch.tensor([IGNORED_LABEL]), labels]) for labels in marks],
        samples=[SampleFacts(str(number), f"{number}.mp4", "", (), "What moves?", "a") for number in range(len(texts))],
    )
    return prepare(batch, model.encoder, model.language_model, lambda: batch, new_tokens)


def _clips(frame_counts, canvas, patch_size, stride):
    """Return black clips, every second one with a band of padding below."""
    side = canvas // patch_size
    rows = [side - stride * (number % 2) if side > stride else side for number in range(len(frame_counts))]
    rectangles = [[0, 0, row, side] for row, count in zip(rows, frame_counts, strict=True) for _ in range(count)]
    frames = torch.zeros(sum(frame_counts), 3, canvas, canvas, dtype=torch.uint8)
    return PackedClips(frames, VideoShapes(torch.tensor(frame_counts), torch.tensor(rectangles), (side, side)))
