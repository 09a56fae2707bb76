"""A training step on a CUDA device makes the host wait for no value but the one that transformers reads."""

import warnings

import pytest
import torch

from benchmarks.training_memory import Step, batch_for
from lightning_modules.costs.peak_memory import precision_of
from lightning_modules.costs.timing import TimedPath
from lightning_modules.costs.visual_path import visual_path
from lightning_modules.resolve import resolve_at_paper_scale
from tests.cuda.known_faults import KNOWN_FAULTS
from tests.cuda.watcher import HOST_READ

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
CUDA = torch.device("cuda")
TOY = "configs/scale/toy.yaml"


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
@pytest.mark.parametrize("experiment", ["full", "lora", "no_distillation"])
def test_a_step_waits_for_nothing(experiment, precision):
    case, formats = resolve_at_paper_scale([f"experiments/{experiment}.yaml", TOY]), precision_of(precision)
    model = case.model().to(CUDA).train()
    model.to(formats.weights or torch.float32)
    step = Step(model, batch_for(model, case, CUDA), formats)
    step()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = [f"{warning.filename}:{warning.lineno}" for warning in caught if "synchroniz" in str(warning.message)]
    libraries = [wait for wait in waits if "transformers/masking_utils.py" in wait]
    assert (
        waits == libraries and len(libraries) <= KNOWN_FAULTS[HOST_READ, "site-packages/transformers/masking_utils.py"]
    )


@pytest.mark.parametrize("compiled", [False, True])
def test_a_cuda_graph_computes_what_the_path_does(compiled):
    path, clip = visual_path(resolve_at_paper_scale(["experiments/full.yaml", TOY]))
    timed = TimedPath(path, clip, CUDA, torch.float32, compiled=compiled, cuda_graph=True)
    timed.warm_up()
    with torch.no_grad():
        timed.frames.normal_()  # a graph reads its input anew
        torch.testing.assert_close(timed.whole(), path(timed.frames, timed.layout), rtol=1e-3, atol=1e-4)
