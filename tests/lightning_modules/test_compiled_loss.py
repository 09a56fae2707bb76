"""From frames to the language model's loss in one graph: `torch.compile(fullgraph=True)`, with the gradients."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

COMPILED = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from lightning_modules.resolve import resolve_files
from tests.cuda.pretended import on_one_device, ragged_batch
torch.manual_seed(0)
settings = resolve_files(["experiments/no_distillation.yaml"])
model = on_one_device(settings.model()).eval()
batch = ragged_batch(model, settings.data.canvas, [8, 1, 5])
batch.frames.random_(256)
found = []
for function in (model.forward, torch.compile(model.forward, fullgraph=True, backend="aot_eager")):
    model.zero_grad()
    loss = function(batch)
    loss.backward()
    found.append([loss.detach(), *(weight.grad for weight in model.parameters() if weight.grad is not None)])
assert len(found[0]) > 50
for ours, theirs in zip(*found, strict=True):
    torch.testing.assert_close(ours, theirs)
"""


@pytest.mark.long
def test_visual_path_and_loss_compile_without_graph_breaks():
    # A process of its own: run-time shape checks, if this suite runs with them, cannot be compiled.
    done = subprocess.run([sys.executable, "-c", COMPILED, ROOT], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
