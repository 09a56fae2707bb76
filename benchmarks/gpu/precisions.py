"""Five toy steps in four precisions, losses beside the CPU's: python -m benchmarks.gpu.precisions."""

import copy
from contextlib import nullcontext
from functools import partial

import torch

from benchmarks.gpu.measuring import Place, Row, each, main
from benchmarks.training_memory import batch_for
from lightning_modules.costs.peak_memory import precision_of
from lightning_modules.costs.timing import tf32
from lightning_modules.resolve import resolve_at_paper_scale
from lightning_modules.training.model_input import ModelInput
from lightning_modules.video_language import VideoLanguageModel

PRECISIONS = {"32-true": ("32-true", False), "32-true, TF32": ("32-true", True),
              "bf16-mixed": ("bf16-mixed", False), "bf16-true": ("bf16-true", False)}  # fmt: skip


def losses(start: VideoLanguageModel, batch: ModelInput, precision: str, device: torch.device) -> list[float]:
    """Train a copy of a model for five steps."""
    formats, model = precision_of(precision), copy.deepcopy(start).to(device).train()
    model.to(formats.weights or torch.float32)
    optimizer, found, batch = model.stage.optimizer(model.groups()), [], batch.to(device)
    for _ in range(5):
        with torch.autocast(device.type, formats.operations) if formats.operations else nullcontext():
            text, distillation = model.losses(batch)
        loss = text + model.distillation.weight * distillation
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(loss.detach())
    return torch.stack(found).tolist()


def measure(place: Place) -> list[Row]:
    """Return a line per precision: the losses there, and their largest relative distance from float32 on the CPU."""
    case = resolve_at_paper_scale(["experiments/full.yaml", "configs/scale/toy.yaml"], ["--model.encoder.dropout=0"])
    torch.manual_seed(0)
    start = case.model()
    batch = batch_for(start, case, torch.device("cpu"))
    batch.frames.random_(256)
    expected = losses(start, batch, "32-true", torch.device("cpu"))

    def row(precision: str, allowed: bool) -> Row:
        with tf32(allowed):
            found = losses(start, batch, precision, place.device)
        apart = max(abs(ours - theirs) / theirs for ours, theirs in zip(found, expected, strict=True))
        return {"losses": [round(loss, 5) for loss in found], "largest difference %": 100 * apart}

    on_cpu = {"case": "CPU, 32-true", "losses": [round(loss, 5) for loss in expected]}
    return [on_cpu, *each(place, {name: partial(row, *how) for name, how in PRECISIONS.items()})]


if __name__ == "__main__":
    main("precisions", __doc__, measure)
