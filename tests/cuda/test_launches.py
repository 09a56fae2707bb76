"""The visual path launches few operations, which is what its latency on a GPU depends on at batch 1."""

import torch

from lightning_modules.costs.visual_path import visual_path
from lightning_modules.resolve import resolve_at_paper_scale
from tests.cuda.pretended import CUDA, moved, pretended_cuda
from tests.cuda.watcher import Watcher

LAUNCHES = 80  # of the official code: 446, counted in the same way


def test_the_visual_path_at_the_papers_size(monkeypatch):
    path, clip = visual_path(resolve_at_paper_scale(["experiments/full.yaml"]))
    assert (clip.frames, clip.canvas) == (8, 448)
    layout = path.encoder.layout(clip.shapes(path.encoder))
    with pretended_cuda(monkeypatch), torch.no_grad():
        moved(path.eval(), CUDA)
        frames, layout = torch.empty(8, 3, 448, 448, device=CUDA), layout.to(CUDA)
        with Watcher() as watcher:
            tokens = path(frames, layout)
    assert tokens.shape == (8 * (16 * 17 + 1), 4096)
    assert not watcher.found
    assert watcher.operations.total() <= LAUNCHES, watcher.operations
    # Chunks, frames and videos of equal size need no indices: only the windows, each frame's chunk and the order do.
    assert watcher.operations["aten.index_select"] == 3
    scatters = {f"aten.{name}" for name in ("index_add", "index_add_", "index_copy", "masked_fill")}
    assert not scatters & watcher.operations.keys()
