"""Peak memory of training steps at the paper's sizes, against `plan`: python -m benchmarks.gpu.memory."""

import tempfile
from functools import partial

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, register_fsdp_forward_method

from benchmarks.gpu.measuring import Place, Row, build, each, main
from benchmarks.training_memory import Step, batch_for
from lightning_modules.costs.peak_memory import MIB, peak_memory, precision_of
from lightning_modules.costs.training_memory import GIB, training_memory
from lightning_modules.training.fully_sharded import shard

SETTINGS = ["--data.batch_size=2", "--trainer.precision=bf16-mixed"]
CASES = {"align": ("full", "align", False), "instruct, LoRA": ("lora", "instruct", False),
         "align, FSDP of one": ("full", "align", True)}  # fmt: skip


def step_row(place: Place, experiment: str, stage: str, sharded: bool) -> Row:
    """Return the peak of the second step, with which the optimiser's state exists, and what `plan` expects."""
    case = place.resolve(experiment, [f"configs/stage/{stage}.yaml"], SETTINGS)
    precision, sized = precision_of(case.config.trainer.precision), case.model_on_meta()
    planned = training_memory(sized, batch_for(sized, case, torch.device("meta")), precision, accumulates=False)
    model = build(case, place.device, precision.weights).train()
    batch = batch_for(model, case, place.device)
    if sharded:
        mesh = init_device_mesh(place.device.type, (1, 1), mesh_dim_names=("machines", "devices"))
        shard(model, model.units(), model.teacher, mesh, MixedPrecisionPolicy())
        register_fsdp_forward_method(model, "losses")
    step = Step(model, batch, precision)
    step()
    measured = (planned.weights + planned.optimiser) / MIB + peak_memory({"step": step}, step, place.device)["step"]
    if place.device.type == "cuda":
        measured = torch.cuda.max_memory_allocated() / MIB
    expected = planned.peak / MIB
    return {
        "measured GiB": measured * MIB / GIB,
        "plan GiB": planned.peak / GIB,
        "plan / measured": expected / measured,
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
