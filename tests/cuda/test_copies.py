"""How many copies a step makes from the host to the device: one of all that is not pinned, and one of each that is."""

from collections import Counter

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensor  # the documented place; they have no other
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lightning_modules.resolve import resolve_files
from tests.cuda.pretended import CUDA, moved, on_one_device, precision, pretended_cuda, ragged_batch


class Copies(TorchDispatchMode):
    """Counts the tensors that are copied from the host to a pretended device, by shape."""

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, Tensor)]
        made = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        if any(_on_device(tensor) for tensor in made) and any(t.dim() and not _on_device(t) for t in given):
            self.found[str(func), *(tuple(tensor.shape) for tensor in given)] += 1
        return out


def _on_device(tensor):
    return isinstance(tensor, FakeTensor) and tensor.device.type == "cuda"


def step(experiment, monkeypatch, frames, new_tokens=0):
    """Return the copies of a batch and of what is computed with it, and the batch."""
    settings = resolve_files([f"experiments/{experiment}.yaml"])
    model = on_one_device(settings.model()).train()
    batch = ragged_batch(model, settings.data.canvas, frames or [settings.frames()] * 3, new_tokens)
    with pretended_cuda(monkeypatch):
        moved(model, CUDA)
        with Copies() as transfer:
            on_device = batch.to(CUDA)
        with Copies() as losses, precision("bf16-mixed", CUDA).forward_context():
            model.training_losses(on_device)
    return transfer.found, losses.found, on_device


@pytest.mark.parametrize("frames", [[5, 8, 1], None], ids=["ragged", "even"])
@pytest.mark.parametrize(
    ("experiment", "further"),  # a teacher of clips has indices of its own
    [("full", 1), ("teacher_internvideo2", 1), ("teacher_clip", 0), ("no_distillation", 0), ("video_llava", 0)],
)
def test_a_training_batch_is_one_copy(experiment, further, frames, monkeypatch):
    transfer, losses, _ = step(experiment, monkeypatch, frames)
    assert transfer.total() == 1, transfer
    assert losses.total() <= further, losses


def test_all_of_a_question_is_one_copy_too(monkeypatch):
    transfer, _, batch = step("no_distillation", monkeypatch, [3, 2], new_tokens=2)
    assert transfer.total() == 1, transfer
    assert batch.candidates.tokens.device == batch.questions.input_ids.device == CUDA


def test_what_is_pinned_is_copied_from_where_it_is(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda tensor: tensor.dtype == torch.uint8)
    transfer, _, batch = step("full", monkeypatch, None)
    assert transfer.total() == 3, transfer  # two views of the frames
    assert batch.frames.untyped_storage().nbytes() == batch.frames.nbytes
