"""Teachers without values read on the host: compiled as one graph, and on tensors without data."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._subclasses import FakeTensorMode

from components.teachers import InternVideo2Teacher, LanguageBindTeacher
from tests.components.small_teachers import SMALL

ROOT = Path(__file__).parents[3]

COMPILED = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from components.teachers import CLIPTeacher, DINOv2Teacher, InternVideo2Teacher, LanguageBindTeacher
from tests.components.small_teachers import SMALL, video
torch.manual_seed(0)
for member in (CLIPTeacher, DINOv2Teacher, InternVideo2Teacher, LanguageBindTeacher):
    teacher = member(SMALL, canvas=12).double()
    compiled = torch.compile(teacher, fullgraph=True, backend="aot_eager")
    for counts in ([8, 8], [3, 11, 3]):
        frames = video(sum(counts))
        print(float((compiled(frames, counts) - teacher(frames, counts)).abs().max()))
"""


@pytest.mark.long
def test_compiles_without_graph_breaks():
    # A process of its own: run-time shape checks, if this suite runs with them, cannot be compiled.
    done = subprocess.run([sys.executable, "-c", COMPILED, ROOT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    differences = [float(line) for line in done.stdout.split()]
    assert len(differences) == 8
    assert max(differences) < 1e-6


@pytest.mark.parametrize("member", [LanguageBindTeacher, InternVideo2Teacher])
@pytest.mark.parametrize("counts", [[8, 8], [3, 11, 3]], ids=["equal", "different"])
def test_reads_no_value(member, counts):
    # Also the indices, which are made on the host, are tensors without data here.
    with FakeTensorMode():
        teacher = member(SMALL, canvas=12)
        frames = torch.empty(sum(counts), 3, 12, 12, dtype=torch.uint8)
        assert teacher(frames, counts).shape == (sum(counts), 3, 3, 16)
