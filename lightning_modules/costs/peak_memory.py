"""Peak memory of the parts of a model during a forward pass, and the number formats of a precision."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, record_function

MIB = 2**20
_ANNOTATION = "part of the model: "


def peak_memory(
    parts: Mapping[str, nn.Module], function: Callable[[], object], device: torch.device
) -> dict[str, float]:
    """Return the peak memory that every part allocates, including its output, in MiB.

    Args:
        parts: modules that `function` calls at most once each; they may contain each other.
        function: forward pass through the parts.
        device: device of the parts.
    """
    return _on_cuda(parts, function, device) if device.type == "cuda" else _on_cpu(parts, function)


def _on_cuda(parts: Mapping[str, nn.Module], function: Callable[[], object], device: torch.device) -> dict[str, float]:
    """Run each part by itself with the input that it gets, since the allocator records one peak at a time."""
    inputs: dict[str, tuple[Any, ...]] = {}
    hooks = [
        part.register_forward_pre_hook(lambda _part, args, name=name: inputs.update({name: args}))
        for name, part in parts.items()
    ]
    function()
    for handle in hooks:
        handle.remove()
    peaks = {}
    for name, args in inputs.items():
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        parts[name](*args)
        peaks[name] = (torch.cuda.max_memory_allocated(device) - before) / MIB
    return peaks


def _on_cpu(parts: Mapping[str, nn.Module], function: Callable[[], object]) -> dict[str, float]:
    """Read the allocations from a trace of torch's profiler, in which every part is a span of time."""
    open_spans: dict[str, record_function] = {}

    def enter(name: str) -> None:
        open_spans[name] = record_function(_ANNOTATION + name)
        open_spans[name].__enter__()

    hooks = []
    for name, part in parts.items():
        hooks.append(part.register_forward_pre_hook(lambda *_, name=name: enter(name)))
        hooks.append(part.register_forward_hook(lambda *_, name=name: open_spans[name].__exit__(None, None, None)))
    with torch.profiler.profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profile:
        function()
    for handle in hooks:
        handle.remove()
    with TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    changes = sorted(
        (float(event["ts"]), int(event["args"]["Total Allocated"]), int(event["args"]["Bytes"]))
        for event in events
        if event.get("name") == "[memory]"
    )
    peaks = {}
    for event in events:
        if event.get("cat") == "user_annotation" and event["name"].startswith(_ANNOTATION):
            start, end = float(event["ts"]), float(event["ts"]) + float(event["dur"])
            within = [(total, change) for at, total, change in changes if start <= at <= end]
            before = within[0][0] - within[0][1] if within else 0
            peaks[event["name"].removeprefix(_ANNOTATION)] = (
                max((total - before for total, _ in within), default=0) / MIB
            )
    return peaks


@dataclass(frozen=True)
class Precision:
    """Number formats of weights and operations.

    Attributes:
        weights: format of all weights; None keeps each as it was loaded.
        operations: format of matrix products; None if it is that of the weights.
    """

    weights: torch.dtype | None
    operations: torch.dtype | None


_PRECISIONS = {
    "32-true": Precision(None, None),
    "bf16-mixed": Precision(None, torch.bfloat16),
    "16-mixed": Precision(None, torch.float16),
    "bf16-true": Precision(torch.bfloat16, None),
    "16-true": Precision(torch.float16, None),
}
_SHORT = {None: "32-true", "32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed"}  # Lightning's abbreviations


def precision_of(name: str | int | None) -> Precision:
    """Return the number formats of a `trainer.precision`.

    Raises:
        ValueError: the precision is not known here.
    """
    text = name if name is None else str(name)
    try:
        return _PRECISIONS[_SHORT.get(text) or str(text)]
    except KeyError:
        raise ValueError(
            f"trainer.precision is {name!r}, whose memory is not known here; known are {', '.join(_PRECISIONS)}"
        ) from None
