"""Peak memory of training steps at the paper's sizes, against `plan`: python -m benchmarks.gpu.memory."""

import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import torch
from torch import distributed

from benchmarks.gpu.measuring import Place, Row, build, each, in_nf4, main, sharded
from benchmarks.training_memory import Step, batch_for
from lightning_modules.costs.peak_memory import MIB, peak_memory, precision_of
from lightning_modules.costs.training_memory import GIB, training_memory
from lightning_modules.training.bf16_weights import round_frozen
from lightning_modules.video_language import VideoLanguageModel

SETTINGS = ["--data.batch_size=2", "--trainer.precision=bf16-mixed"]
CASES = {"align": ("full", "align", round_frozen), "instruct, LoRA": ("lora", "instruct", round_frozen),
         "align, FSDP of one": ("full", "align", sharded), "align, NF4": ("full", "align", in_nf4),
         "instruct": ("full", "instruct", round_frozen)}  # fmt: skip


def step_row(place: Place, experiment: str, stage: str, prepare: Callable[[VideoLanguageModel], None]) -> Row:
    """Return the peak of the second step, with which the optimiser's state exists, and what `plan` expects."""
    if prepare is in_nf4 and find_spec("bitsandbytes") is None:
        return {"skipped": "bitsandbytes is not installed"}
    case = place.resolve(experiment, [f"configs/stage/{stage}.yaml"], SETTINGS)
    precision, sized = precision_of(case.config.trainer.precision), case.model_on_meta()
    if prepare is not sharded:
        prepare(sized)
    planned = training_memory(sized, batch_for(sized, case, torch.device("meta")), precision, accumulates=False)
    model = build(case, place.device, precision.weights).train()
    batch = batch_for(model, case, place.device)
    prepare(model)
    step = Step(model, batch, precision)
    step()
    measured = (planned.weights + planned.optimiser) / MIB + peak_memory({"step": step}, step, place.device)["step"]
    if place.device.type == "cuda":
        measured = torch.cuda.max_memory_allocated() / MIB
    return {
        "measured GiB": measured * MIB / GIB,
        "plan GiB": planned.peak / GIB,
        "plan / measured": planned.peak / MIB / measured,
    }


def measure(place: Place) -> list[Row]:
    """Return a line per training."""
    backend = "nccl" if place.device.type == "cuda" else "gloo"
    with tempfile.TemporaryDirectory() as folder:
        distributed.init_process_group(backend, init_method=f"file://{folder}/meeting", rank=0, world_size=1)
        rows = each(place, {name: partial(step_row, place, *case) for name, case in CASES.items()})
        distributed.destroy_process_group()
    return rows


if __name__ == "__main__":
    main("memory", __doc__, measure)
