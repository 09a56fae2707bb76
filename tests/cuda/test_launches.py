"""The visual path launches few operations, which is what its latency on a GPU depends on at batch 1."""

from contextlib import nullcontext

import torch

from lightning_modules.costs.visual_path import visual_path
from lightning_modules.resolve import resolve_at_paper_scale
from tests.cuda.pretended import CUDA, moved, pretended_cuda
from tests.cuda.watcher import Watcher

LAUNCHES = 80  # of the official code: 446, counted in the same way
CASTS = 57  # of a training step in bf16-mixed: 36 of weights, the others around what is in float32


def operations(monkeypatch, training, precision=nullcontext):
    """Return what the visual path at the paper's size launches on a pretended device."""
    path, clip = visual_path(resolve_at_paper_scale(["experiments/full.yaml"]))
    assert (clip.frames, clip.canvas) == (8, 448)
    layout = path.encoder.layout(clip.shapes(path.encoder))
    with pretended_cuda(monkeypatch), torch.set_grad_enabled(training):
        moved(path.requires_grad_(training).train(training), CUDA)
        frames, layout = torch.empty(8, 3, 448, 448, device=CUDA), layout.to(CUDA)
        with Watcher() as watcher, precision():
            tokens = path(frames, layout)
    assert tokens.shape == (8 * (16 * 17 + 1), 4096)
    assert not watcher.found
    return watcher.operations


def test_the_visual_path_at_the_papers_size(monkeypatch):
    found = operations(monkeypatch, training=False)
    assert found.total() <= LAUNCHES, found
    # Chunks, frames and videos of equal size need no indices: only the windows and the order do.
    assert found["aten.index_select"] == 2
    scatters = {f"aten.{name}" for name in ("index_add", "index_add_", "index_copy", "masked_fill")}
    assert not scatters & found.keys()


def test_mixed_precision_converts_little(monkeypatch):
    found = operations(monkeypatch, training=True, precision=lambda: torch.autocast("cuda", torch.bfloat16))
    assert found["aten._to_copy"] <= CASTS, found
