"""What the scripts share: their flags, models with random weights, times, and files of results."""

import argparse
import gc
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, register_fsdp_forward_method

from components.language_models import NF4
from lightning_modules.resolve import Experiment, resolve_at_paper_scale
from lightning_modules.training.bf16_weights import round_frozen
from lightning_modules.training.fully_sharded import shard
from lightning_modules.video_language import VideoLanguageModel

Row = dict[str, Any]
RESULTS, REHEARSAL = Path("benchmarks/results"), Path("runs/gpu_rehearsal")
TEXT_TOKENS = 64


@dataclass(frozen=True)
class Place:
    """Where and how large it is measured: a rehearsal is of toy size, on the CPU unless there is a GPU."""

    device: torch.device
    rehearsal: bool
    deadline: float

    def resolve(self, experiment: str, files: list[str], settings: list[str]) -> Experiment:
        """Resolve an experiment with random weights at the paper's scale, or at toy size."""
        scale = "configs/scale/toy.yaml" if self.rehearsal else "configs/scale/paper.yaml"
        return resolve_at_paper_scale([f"experiments/{experiment}.yaml", scale, *files], settings)

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def milliseconds(self, function: Callable[[], object], repeats: int) -> float:
        """Return the median time of a call, up to the end of its last kernel, after three for warming up."""
        times = []
        for _ in range(3 + repeats):
            self.synchronize()
            start = time.perf_counter()
            function()
            self.synchronize()
            times.append(1000 * (time.perf_counter() - start))
        return median(times[3:])


@dataclass(frozen=True)
class Goal:
    """What a figure of a row should be."""

    figure: str
    at_least: float = -math.inf
    at_most: float = math.inf

    def verdict(self, row: Row) -> str:
        """Say whether the row meets it, with the figure and the goal."""
        goal = f"at least {self.at_least:g}" if self.at_most == math.inf else f"at most {self.at_most:g}"
        if self.figure not in row:
            return f"not judged: {self.figure} was not measured, {goal}"
        met = self.at_least <= row[self.figure] <= self.at_most
        return f"{'met' if met else 'missed'}: {self.figure} {shown(row[self.figure])}, {goal}"


def judged(place: Place, rows: list[Row], goals: Mapping[str, Goal]) -> list[Row]:
    """Return rows with the verdict on their goal, where they have one; a rehearsal and a CPU judge nothing."""
    if place.rehearsal or place.device.type != "cuda":
        return rows
    return [row | ({"goal": goals[row["case"]].verdict(row)} if row["case"] in goals else {}) for row in rows]


def with_ratios(rows: list[Row], figure: str) -> list[Row]:
    """Return rows with a figure also as a multiple of the first row's."""
    first = rows[0].get(figure)
    return [row | ({"times the first": row[figure] / first} if first and figure in row else {}) for row in rows]


def build(case: Experiment, device: torch.device, dtype: torch.dtype | None) -> VideoLanguageModel:
    """Return a model on `device` with random weights, which is never on the host, as a training would start it."""
    model = case.model_on_meta()
    model.to_empty(device=device)
    for tensor in filter(torch.is_floating_point, [*model.parameters(), *model.buffers()]):
        nn.init.normal_(tensor, std=0.02)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            module.reset_running_stats()
    network = model.language_model.network
    if model.language_model.gradient_checkpointing:  # which a model on the meta device does not switch on
        enable = getattr(network, "activation_checkpointing_enable", network.gradient_checkpointing_enable)
        enable({"use_reentrant": False})
    return model if dtype is None else model.to(dtype)


def sharded(model: VideoLanguageModel) -> None:
    """Shard a model as `FullySharded` does, over the one process of a group."""
    kind = next(model.parameters()).device.type
    mesh = init_device_mesh(kind, (1, 1), mesh_dim_names=("machines", "devices"))
    shard(model, model.units(), model.teacher, mesh, MixedPrecisionPolicy())
    register_fsdp_forward_method(model, "losses")


def in_nf4(model: VideoLanguageModel) -> None:
    """Hold the language model's linear layers but its head in 4 bits, as `NF4` loads them, and round the rest."""
    if next(model.parameters()).is_meta:
        NF4().take_sizes(model.language_model.network)
        round_frozen(model)
        return
    from bitsandbytes.nn import Linear4bit, Params4bit  # not one of our requirements

    for parent in list(model.language_model.network.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Linear and name != "lm_head":
                held = Linear4bit(
                    layer.in_features, layer.out_features, compute_dtype=torch.bfloat16, quant_type="nf4", device="meta"
                )
                held.weight = Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4")
                held.bias = layer.bias
                setattr(parent, name, held.to(layer.weight.device))
    round_frozen(model)


def each(place: Place, cases: Mapping[str, Callable[[], Row]]) -> list[Row]:
    """Measure cases in order; one that fails, such as for memory, says why and does not end the others."""
    rows = []
    for name, measure in cases.items():
        try:
            row = measure() if time.monotonic() < place.deadline else {"left out": "no time was left"}
        except Exception as error:
            row = {"error": f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"}
        rows.append({"case": name} | row)
        print(f"{name:<50}", "  ".join(f"{key} {shown(value)}" for key, value in row.items()), flush=True)
        gc.collect()
        if place.device.type == "cuda":
            torch.cuda.empty_cache()
    return rows


def shown(value: Any) -> str:
    """Return a figure in four digits, or a word."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main(name: str, description: str | None, measure: Callable[[Place], list[Row]]) -> None:
    """Measure, and write `gpu_<name>.json`; a rehearsal writes `rehearsal_<name>.json` elsewhere."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rehearsal", action="store_true", help="toy size; always so without a CUDA device")
    parser.add_argument("--seconds", type=float, default=90.0, help="begin no further case after this long")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rehearsal = arguments.rehearsal or device.type == "cpu"
    rows = measure(Place(device, rehearsal, time.monotonic() + arguments.seconds))
    where = torch.cuda.get_device_name() if device.type == "cuda" else "CPU (a rehearsal: no figure of a GPU)"
    folder, prefix = (REHEARSAL, "rehearsal") if rehearsal else (RESULTS, "gpu")
    folder.mkdir(parents=True, exist_ok=True)
    content = {"device": where, "rehearsal": rehearsal, "torch": torch.__version__, "rows": rows}
    (folder / f"{prefix}_{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    if any("error" in row for row in rows):
        raise SystemExit(1)
