"""`video-panda plan`: what the training of an experiment would take, stage by stage, without starting it.

Prints parameters and the share of them that is trained, visual tokens, steps, and memory of each device and machine
under the strategy that the files and flags set. Without a --config of configs/scale, the paper's scale replaces the one
that the files build on; their own settings override it. Files that build on no scale are used as they are. Nothing is
downloaded.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamodules.printable import say, table
from lightning_modules.config.chain import STAGES
from lightning_modules.config.user_errors import ProgramParser, user_errors

if TYPE_CHECKING:
    from torch import nn

    from lightning_modules.resolve import Experiment

Record = dict[str, Any]
MEMORY = ("weights", "gradients", "optimiser", "activations", "exchange", "peak")


def plan(stage: Experiment, text_tokens: int, samples: int | None = None) -> Record:
    """Return parameters, schedule and memory of one training.

    Args:
        stage: configuration of the training.
        text_tokens: number of text tokens per sample, without those of its clip.
        samples: number of training samples before `train_records` selects; None counts those of the data.

    Raises:
        ValueError: parts, data or devices do not fit together, or the strategy or precision is not known here.
    """
    import torch  # imported here like the following, since the parser and the tables do not need it

    from lightning_modules.costs.peak_memory import precision_of
    from lightning_modules.costs.schedule import devices_of, schedule
    from lightning_modules.costs.sharding import is_whole_on_each_device, on_each_device, on_each_host, remedy
    from lightning_modules.costs.training_memory import GIB, training_batch, training_memory
    from lightning_modules.training.bf16_weights import round_frozen

    trainer = stage.config.trainer
    devices, machines = devices_of(trainer.devices), trainer.num_nodes
    steps = schedule(stage, devices * machines, samples)
    model = stage.model_on_meta()
    parameters = {
        name: {"total": _count(part), "trained": _count(part, trained=True)}
        for name, part in {**model.groups(), "teacher": model.teacher}.items()
    }
    batch = training_batch(
        model, stage.frames(), stage.data.canvas, stage.data.batch_size, text_tokens, torch.device("meta")
    )
    precision = precision_of(trainer.precision)
    strategy = trainer.strategy or "auto"
    host = on_each_host(model, strategy, devices)  # before the model is changed to the precision
    if precision.operations == torch.bfloat16 and is_whole_on_each_device(strategy):
        round_frozen(model)
    single = training_memory(model, batch, precision, accumulates=steps.accumulation > 1)
    memory = on_each_device(single, model, precision, strategy, devices, machines)
    return {
        "scale": stage.scale,
        "input": {
            "frames": stage.frames(),
            "canvas": stage.data.canvas,
            "visual_tokens": batch.layout.order.numel() // stage.data.batch_size,
            "text_tokens": text_tokens,
        },
        "parameters": parameters,
        "schedule": asdict(steps),
        "memory_gib": {name: getattr(memory, name) / GIB for name in MEMORY},
        "host_gib": host / GIB,
        "if_too_large": remedy(strategy, devices),
    }


def _count(part: nn.Module, trained: bool = False) -> int:
    return sum(parameter.numel() for parameter in part.parameters() if parameter.requires_grad or not trained)


def parameters_table(records: Mapping[str, Record]) -> str:
    """Return a table of the parameters of every component, and how many of them every stage trains."""
    parts = next(iter(records.values()))["parameters"]
    rows = [
        [part, f"{count['total']:,}", *(f"{record['parameters'][part]['trained']:,}" for record in records.values())]
        for part, count in parts.items()
    ]
    total = sum(count["total"] for count in parts.values())
    learning = [sum(count["trained"] for count in record["parameters"].values()) for record in records.values()]
    rows.append(["all", f"{total:,}", *(f"{count:,}" for count in learning)])
    rows.append(["share", "", *(f"{count / total:.1%}" for count in learning)])
    return table(["parameters", "there are", *(f"learn in {stage}" for stage in records)], rows)


def schedule_table(records: Mapping[str, Record]) -> str:
    """Return a table of the optimiser steps of every stage, and their sizes."""
    rows = []
    for stage, record in records.items():
        steps = record["schedule"]
        product = f"{steps['devices']} x {steps['batch_size']} x {steps['accumulation']}"
        counts = (steps["samples"], steps["samples_per_step"], steps["steps"])
        rows.append([stage, *(f"{count:,}" for count in counts), product])
    return table(["stage", "samples", "samples per step", "steps", "devices x batch x accumulated"], rows)


def memory_table(records: Mapping[str, Record]) -> str:
    """Return a table of the memory on each device in every stage, and of that of a machine's processes together."""
    rows = [
        [stage, *(f"{record['memory_gib'][part]:.3g}" for part in MEMORY), f"{record['host_gib']:.3g}"]
        for stage, record in records.items()
    ]
    return table(["GiB on each device", *MEMORY, "machine's own memory"], rows)


def too_large(records: Mapping[str, Record], device_gib: float) -> list[str]:
    """Return one line per stage that needs more memory than a device has, with what to change."""
    return [
        f"warning: {stage} needs {record['memory_gib']['peak']:.3g} GiB on each device, which has {device_gib:g} "
        f"(--device_gib): {record['if_too_large']}"
        for stage, record in records.items()
        if record["memory_gib"]["peak"] > device_gib
    ]


def main(args: Sequence[str]) -> None:
    """Parse the command line, and print tables or JSON."""
    parser = ProgramParser(
        prog="video-panda plan", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--config", action="append", required=True, help="config file; experiment first; flags of fit too"
    )
    parser.add_argument(
        "--stages", nargs="*", default=list(STAGES), help="config file of each stage; join several by +; none: as it is"
    )
    parser.add_argument("--samples", type=int, help="training samples that there are; default: those of the data")
    parser.add_argument(
        "--text_tokens", type=int, default=128, help="text tokens of each sample, without those of its clip"
    )
    parser.add_argument("--device_gib", type=float, help="memory of a device; warns where it does not suffice")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="what is printed")
    options, settings = parser.parse_known_args(args)
    if options.samples is not None and options.samples < 1:
        parser.error(f"--samples is {options.samples}; it must be at least 1")
    if options.text_tokens < 2:
        parser.error(f"--text_tokens is {options.text_tokens}; it must be at least 2")
    if options.device_gib is not None and not options.device_gib > 0:
        parser.error(f"--device_gib is {options.device_gib:g}; it must be above 0")
    stages = {Path(stage.split("+")[0]).stem: stage.split("+") for stage in options.stages} or {"fit": []}
    from lightning_modules.resolve import resolve_at_paper_scale  # see above

    with user_errors():
        experiments = {
            name: resolve_at_paper_scale([*options.config, *files], settings) for name, files in stages.items()
        }
        records = {name: plan(stage, options.text_tokens, options.samples) for name, stage in experiments.items()}
    for line in too_large(records, options.device_gib or float("inf")):
        say(line, file=sys.stderr)
    name = Path(options.config[0]).stem
    if options.format == "json":
        say(json.dumps({name: records}, indent=2))
        return
    first = next(iter(records.values()))
    sizes = first["input"]
    say(
        f"\n{name}, {first['scale']} scale: {sizes['frames']} frames of {sizes['canvas']} x {sizes['canvas']} pixels"
        f" become {sizes['visual_tokens']:,} visual tokens; with {sizes['text_tokens']:,} of text\n"
    )
    say("\n\n".join(write(records) for write in (parameters_table, schedule_table, memory_table)))
    say("\nMemory is worked out, not measured: see benchmarks/training_memory.py for how near it comes.")
