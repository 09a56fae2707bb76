"""What STAB costs and how it runs: size, operations, no waiting for the device, half precision, compilation."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.stab_formulations import gmac
from components.encoders import STAB
from components.projectors import MLPProjector
from tests.components.small_stab import PATCH, VARIANTS, WIDTH, build, clips

ROOT = Path(__file__).parents[3]


def test_parameter_count_is_the_papers():
    with torch.device("meta"):
        modules = [STAB(), MLPProjector(1024, 4096)]
    assert sum(parameter.numel() for module in modules for parameter in module.parameters()) == 45_066_578


def test_operations_of_eight_square_frames():
    counts = gmac(argparse.Namespace(width=1024, llm_width=4096, frames=8, canvas=448, patch_size=14))
    assert counts["ours"] <= 75
    assert counts["plain"] == pytest.approx(105.4, abs=0.5)


@pytest.mark.parametrize("counts", [(8, 8), (5, 1, 4)], ids=["equal", "different"])
def test_without_gradients_the_tokens_are_the_same(counts):
    # Additions to views replace indexed additions where no gradient is needed.
    stab = build()
    frames, shapes = clips(*counts)
    layout = stab.layout(shapes)
    with_gradients = stab(frames, layout)
    with torch.no_grad():
        torch.testing.assert_close(stab(frames, layout), with_gradients)


@pytest.mark.parametrize("variant", VARIANTS)
def test_forward_reads_nothing_back_from_the_device(variant):
    # Tensors without data: whatever needs a value (item, nonzero, a branch) raises.
    stab = build(**VARIANTS[variant])
    frames, shapes = clips(5, 1, patch_size=stab.patch_size)
    layout = stab.layout(shapes)
    features = stab.to("meta")(frames.to("meta"), layout.to("meta"))
    assert features.device.type == "meta"
    assert len(features) == int(layout.order.max()) + 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_bfloat16_autocast_trains(variant):
    torch.manual_seed(0)
    stab = STAB(width=WIDTH, patch_size=PATCH, **VARIANTS[variant])
    frames, shapes = clips(5, 1, 4, patch_size=stab.patch_size)
    layout = stab.layout(shapes)
    with torch.autocast("cpu", torch.bfloat16):
        tokens = stab(frames.float(), layout)[layout.order]
    tokens.float().square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in stab.parameters())
    exact = stab.eval()(frames.float(), layout)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = stab(frames.float(), layout)
    assert (exact - rounded).abs().max() < 0.05 * exact.abs().max()


COMPILED = """
import sys, torch
backend, device, root = sys.argv[1:]
sys.path.insert(0, root)
from tests.components.small_stab import build, clips
stab = build().to(device)
compiled = torch.compile(stab, fullgraph=True, backend=backend)
for counts in ((8, 1, 5), (4, 9, 1, 2)):
    frames, shapes = clips(*counts)
    frames, layout = frames.to(device), stab.layout(shapes).to(device)
    with torch.no_grad():
        print(float((compiled(frames, layout) - stab(frames, layout)).abs().max()))
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("backend", "device"), [("aot_eager", "cpu"), pytest.param("inductor", "cuda", marks=pytest.mark.gpu)]
)
def test_compiles_without_graph_breaks(backend, device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    # A process of its own: run-time shape checks, if this suite runs with them, cannot be compiled.
    done = subprocess.run([sys.executable, "-c", COMPILED, backend, device, ROOT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    differences = [float(line) for line in done.stdout.split()]
    assert len(differences) == 2
    assert max(differences) < 1e-9


EXPORTED = """
import sys, torch
root, path = sys.argv[1:]
sys.path.insert(0, root)
from components.encoders.stab_layout import STABLayout
from components.groups import Groups, Places
from components.stab.grid import Chunks, ValidArea
from tests.components.small_stab import build, clips
for part in (STABLayout, Groups, Places, Chunks, ValidArea):
    torch.export.register_dataclass(part, serialized_type_name=part.__name__)
stab = build()
frames, shapes = clips(8, 1, 4)
layout = stab.layout(shapes)
with torch.no_grad():
    torch.export.save(torch.export.export(stab, (frames, layout)), path)
    # Its check of sizes stays out: torch writes invalid Python for two fields of which one name begins with the other.
    served = torch.export.load(path).module(check_guards=False)
    other = torch.randn_like(frames)
    print(float((served(other, layout) - stab(other, layout)).abs().max()))
"""


@pytest.mark.long
def test_can_be_exported_with_its_layout_as_input(tmp_path):
    command = [sys.executable, "-c", EXPORTED, ROOT, tmp_path / "stab.pt2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout) < 1e-9
