"""Compares the memory that `plan` expects of a sharded step with what one takes: python benchmarks/sharded_memory.py.

Two processes with torch's FSDP2 on the CPU, where the allocator's count is exact; small batches, so that what is
sharded is the larger part.
"""

import argparse
import json
import os
import socket
import sys
from pathlib import Path

import torch
from torch import distributed, multiprocessing
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, register_fsdp_forward_method

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a file, Python would look for packages beside it only

from benchmarks.training_memory import CASES, MIB, Step, batch_for
from lightning_modules.costs.peak_memory import peak_memory, precision_of
from lightning_modules.costs.sharding import fully_sharded
from lightning_modules.costs.training_memory import training_memory
from lightning_modules.resolve import Experiment, resolve_at_paper_scale
from lightning_modules.training.fully_sharded import shard

PROCESSES = 2
SMALL = ["--data.batch_size=1", "--data.sampler.frames=2"]
NAMES = ["medium", "medium, no distillation", "medium, language model frozen", "medium, LoRA"]


def compare(case: Experiment) -> dict[str, float]:
    """Return expected and measured memory of this process in MiB, and their ratio."""
    precision = precision_of(case.config.trainer.precision)
    sized = case.model_on_meta()
    alone = training_memory(sized, batch_for(sized, case, torch.device("meta")), precision, accumulates=False)
    expected = fully_sharded(alone, sized, precision, PROCESSES)
    torch.manual_seed(0)
    model = case.model().train()
    step = Step(model, batch_for(model, case, torch.device("cpu")), precision)
    mesh = init_device_mesh("cpu", (1, PROCESSES), mesh_dim_names=("all", "one"))
    shard(model, model.units(), model.teacher, mesh, MixedPrecisionPolicy())
    register_fsdp_forward_method(model, "losses")
    step.optimizer = model.stage.optimizer(model.groups())
    step()  # the optimiser's state comes with the first
    taken = peak_memory({"step": step}, step, torch.device("cpu"))["step"]
    measured = (expected.weights + expected.optimiser) / MIB + taken
    return {
        "one device": alone.peak / MIB,
        "expected": expected.peak / MIB,
        "measured": measured,
        "expected / measured": expected.peak / MIB / measured,
    }


def process(rank: int, port: int, out: Path | None) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "KINETO_LOG_LEVEL": "99"}
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=PROCESSES)
    results = {}
    for name in NAMES:
        experiment, files, settings = CASES[name]
        results[name] = compare(resolve_at_paper_scale([f"experiments/{experiment}.yaml", *files], [*settings, *SMALL]))
        if rank == 0:
            print(f"{name:<42}", "  ".join(f"{key} {value:.4g}" for key, value in results[name].items()), flush=True)
    if rank == 0 and out:
        out.write_text(json.dumps({"device": "cpu", "torch": torch.__version__, "mib": results}, indent=2))
    distributed.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the results to this JSON file")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(process, args=(port, parser.parse_args().out), nprocs=PROCESSES)


if __name__ == "__main__":
    main()
