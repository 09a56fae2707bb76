"""`video-panda profile`: what the visual path of an experiment costs, and each of its parts.

The input is one square clip, as the experiment's data would give it, at the paper's scale unless a --config of
configs/scale names another. Weights are random: nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamodules.printable import say, table
from lightning_modules.config.user_errors import ProgramParser, user_errors

if TYPE_CHECKING:
    import torch

    from lightning_modules.costs.timing import Timing
    from lightning_modules.resolve import Experiment

Record = dict[str, Any]


def profile(
    experiments: Mapping[str, Experiment],
    device: torch.device,
    dtype: torch.dtype,
    repeats: int,
    seconds: float,
    compiled: bool = False,
    cuda_graph: bool = False,
) -> dict[str, Record]:
    """Return the input of every experiment and the costs of its parts.

    Args:
        experiments: experiments by name.
        device: device on which latency and memory are measured.
        dtype: number format of weights and activations.
        repeats: maximum number of timed runs per experiment; 0 measures neither latency nor memory.
        seconds: time after which no further round of runs begins.
        compiled: whether the whole path is compiled; one that cannot be is timed as it is, and a line says so.
        cuda_graph: whether the whole path is recorded as a CUDA graph, one for the layout of its clip.

    Raises:
        ValueError: the parts or data of an experiment do not fit together, there is no such device, or it has no
            graphs.
    """
    import torch  # imported here like the following, since the parser and the tables do not need it

    from lightning_modules.costs.operations import count_operations
    from lightning_modules.costs.timing import TimedPath, time_side_by_side
    from lightning_modules.costs.visual_path import visual_path

    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        there = f"only {torch.cuda.device_count()}" if torch.cuda.is_available() else "no CUDA device"
        raise ValueError(f"--device is {device}, but torch finds {there} here; use --device cpu")
    if cuda_graph and device.type != "cuda":
        raise ValueError(f"--cuda_graph needs a CUDA device, and --device is {device}; leave out --cuda_graph")
    paths, clips, counted = {}, {}, {}
    for name, experiment in experiments.items():
        paths[name], clips[name] = visual_path(experiment)
        counted[name] = count_operations(paths[name], clips[name])
    timings: dict[str, dict[str, Timing]] = {name: {} for name in paths}
    modes: dict[str, Record] = {name: {} for name in paths}
    if repeats:
        timed = {
            name: TimedPath(path, clips[name], device, dtype, compiled, cuda_graph) for name, path in paths.items()
        }
        time_side_by_side(list(timed.values()), repeats, seconds)
        for name, ready in timed.items():
            modes[name] = {"compiled": ready.compiled, "cuda_graph": ready.cuda_graph}
            if ready.failure:
                say(f"warning: {name} could not be compiled and is timed as it is: {ready.failure}", file=sys.stderr)
        timings = {name: ready.timings() for name, ready in timed.items()}
    where = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "threads": torch.get_num_threads(),
        "dtype": str(dtype),
        "tf32": dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest",
        "torch": torch.__version__,
    }
    records = {}
    for name, experiment in experiments.items():
        costs = {
            part: asdict(operations) | (asdict(timings[name][part]) if timings[name] else {})
            for part, operations in counted[name].items()
        }
        records[name] = {"scale": experiment.scale, "input": asdict(clips[name])} | where | modes[name] | costs
    return records


def parts_table(record: Record) -> str:
    """Return a table of one experiment's costs, with a line per part."""
    costs = {name: part for name, part in record.items() if isinstance(part, Mapping) and "gmac" in part}
    return table(
        ["part", *_heads(record)],
        [[name, *_cells(part)] for name, part in costs.items()],
    )


def comparison_table(records: Mapping[str, Record]) -> str:
    """Return a table with a line per visual path; latency also as a multiple of the first one's."""
    first = next(iter(records.values()))
    rows = []
    for name, record in records.items():
        row = [name, str(record["input"]["frames"]), str(record["input"]["canvas"]), *_cells(record["visual"])]
        if "latency_ms" in record["visual"]:
            row.append(f"{record['visual']['latency_ms'] / first['visual']['latency_ms']:.2f}")
        rows.append(row)
    relative = ["x first"] if "latency_ms" in first["visual"] else []
    return table(["experiment", "frames", "pixels", *_heads(first), *relative], rows)


def _heads(record: Record) -> list[str]:
    measured = ["latency ms", "peak MiB"] if "latency_ms" in record["visual"] else []
    return ["parameters", "GMAC", "tokens", *measured]


def _cells(part: Mapping[str, Any]) -> list[str]:
    cells = [f"{part['parameters']:,}", f"{part['gmac']:.{2 if part['gmac'] >= 1 else 4}f}", f"{part['tokens']:,}"]
    if "latency_ms" in part:
        cells += [f"{part['latency_ms']:.1f}", f"{part['peak_memory_mib']:.0f}"]
    return cells


def _mode(record: Record) -> str:
    modes = ["compiled"] * record["compiled"] + ["as a CUDA graph"] * record["cuda_graph"]
    return " and ".join(modes) or "as it is"


def main(args: Sequence[str]) -> None:
    """Parse the command line, and print a table or JSON."""
    parser = ProgramParser(
        prog="video-panda profile", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--config", action="append", required=True, help="config file; experiment first; flags of fit too"
    )
    parser.add_argument("--compare", nargs="+", default=[], help="further experiments, with the same other files")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="what is printed")
    parser.add_argument("--device", help="cpu, cuda, cuda:1; default: cuda where there is one")
    parser.add_argument(
        "--dtype", choices=("float32", "tf32", "bfloat16", "float16"), default="float32",
        help="number format; tf32: float32 with products in TF32",
    )  # fmt: skip
    parser.add_argument("--compile", action="store_true", help="compile the visual path as a whole; not its parts")
    parser.add_argument("--cuda_graph", action="store_true", help="launch the whole visual path as one CUDA graph")
    parser.add_argument("--repeats", type=int, default=10, help="timed runs of each; 0: count only")
    parser.add_argument("--seconds", type=float, default=60.0, help="begin no further round of runs after this long")
    options, settings = parser.parse_known_args(args)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or torch's profiler reports on stderr that there is no GPU
    import torch  # see above

    from lightning_modules.costs.timing import tf32
    from lightning_modules.resolve import resolve_at_paper_scale

    dtype = torch.float32 if options.dtype == "tf32" else getattr(torch, options.dtype)
    with user_errors(), tf32(options.dtype == "tf32"):
        device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        first, *others = options.config
        experiments = {
            Path(file).stem: resolve_at_paper_scale([file, *others], settings) for file in (first, *options.compare)
        }
        records = profile(
            experiments, device, dtype, options.repeats, options.seconds, options.compile, options.cuda_graph
        )
    if options.format == "json":
        say(json.dumps(records, indent=2))
        return
    for name, record in records.items():
        sizes = record["input"]
        side = sizes["canvas"]
        say(f"\n{name}, {record['scale']} scale: {sizes['frames']} frames of {side} x {side} pixels")
        say(parts_table(record))
    if len(records) > 1:
        say(f"\nvisual paths side by side\n{comparison_table(records)}")
    if options.repeats:
        runs = min(record["visual"]["runs"] for record in records.values())
        products = ", products in TF32" * record["tf32"]
        where = f"{record['device']}, {record['threads']} threads, {record['dtype'].removeprefix('torch.')}{products}"
        say(
            f"\n{where}: median of {runs} runs after the first; the whole path {_mode(record)}, its parts by themselves"
        )
