"""Measures the host memory of two processes that build and shard a language model: python benchmarks/host_memory.py.

The model is a Llama of random weights, saved in float16 and built in float32. Memory is that which no file stands for
(RssAnon of /proc), beyond what a process had before. Linux only; on CPUs, so that the shards count too.
"""

import argparse
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import distributed, multiprocessing, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a file, Python would look for packages beside it only

from components.language_models import PretrainedCausalLM, TinyLlama
from components.stored_weights import weights_in_files
from lightning_modules.training.fully_sharded import shard

PROCESSES = 2


def anonymous() -> int:
    """Return the memory of this process that no file stands for, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


@contextmanager
def peak(taken: dict[str, float], what: str, unit: int) -> Iterator[None]:
    """Note the highest memory within, beyond that of the beginning, as a multiple of `unit`."""
    before, highest, over = anonymous(), 0, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not over.is_set():
            highest = max(highest, anonymous())
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    taken[what] = round((max(highest, anonymous()) - before) / unit, 3)


class Module(nn.Module):
    """A language model in the place of a LightningModule."""

    def __init__(self, language_model: nn.Module) -> None:
        super().__init__()
        self.language_model = language_model

    def training_step(self) -> None:
        """Do nothing."""

    validation_step = test_step = predict_step = run_for_hooks = training_step


def process(rank: int, port: int, folder: Path, in_files: bool) -> None:
    """Build and shard the model in one of the processes, and write what it took."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=PROCESSES)
    mesh = init_device_mesh("cpu", (1, PROCESSES), mesh_dim_names=("machines", "devices"))
    PretrainedCausalLM(str(folder / "small"))  # imports what it needs
    taken: dict[str, float] = {}
    with weights_in_files(in_files):
        with torch.device("meta"):
            model = PretrainedCausalLM(str(folder / "large"))
        size = sum(weight.numel() for weight in model.parameters()) * 4
        with peak(taken, "built", size):
            model = PretrainedCausalLM(str(folder / "large"))
    with peak(taken, "sharded", size):
        module = Module(model)
        shard(module, model.units(), nn.Identity(), mesh, MixedPrecisionPolicy())
    (folder / f"{rank}.json").write_text(json.dumps({"mib": size / 2**20, "times the model": taken}))
    distributed.destroy_process_group()


def measure(folder: Path, width: int, layers: int, in_files: bool) -> list[dict[str, float]]:
    """Return for every process its highest memory while it builds and while it shards, as multiples of the model."""
    for name, sizes in {"small": (32, 1), "large": (width, layers)}.items():
        model = TinyLlama(*sizes)
        model.network.half().save_pretrained(folder / name)
        model.text.tokenizer.save_pretrained(folder / name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(process, args=(port, folder, in_files), nprocs=PROCESSES)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(PROCESSES)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=12)
    arguments = parser.parse_args()
    for in_files in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            for rank, taken in enumerate(measure(Path(folder), arguments.width, arguments.layers, in_files)):
                print("weights in files" if in_files else "weights loaded  ", f"process {rank}", taken, flush=True)


if __name__ == "__main__":
    main()
