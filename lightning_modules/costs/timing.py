"""Latency and peak memory of the visual path on this machine, with random weights."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from components.encoders import TokenLayout
from lightning_modules.costs.peak_memory import peak_memory
from lightning_modules.costs.visual_path import Clip, VisualPath


@dataclass(frozen=True)
class Timing:
    """Latency and peak memory of a part for one clip.

    Attributes:
        latency_ms: median time from the call of the part to its result, in milliseconds.
        peak_memory_mib: peak of allocated memory in MiB, without weights and input.
        runs: number of runs in the median.
    """

    latency_ms: float
    peak_memory_mib: float
    runs: int


class TimedPath:
    """A visual path with random weights and a clip on a device, ready to be timed."""

    def __init__(self, path: VisualPath, clip: Clip, device: torch.device, dtype: torch.dtype) -> None:
        """Move a path from the meta device to `device`.

        Raises:
            ValueError: the encoder does not take the clip.
        """
        path.randomise(device, dtype)
        self.path = path
        self.device = device
        self.layout: TokenLayout = path.encoder.layout(clip.shapes(path.encoder)).to(device)
        self.frames = clip.pixels(device, dtype)
        self.laps: dict[str, list[float]] = defaultdict(list)
        self.peaks: dict[str, float] = {}

    @torch.no_grad()
    def warm_up(self) -> None:
        """Compute the tokens for the first time, and record the peak memory."""
        self.peaks = peak_memory(self.path.parts(), lambda: self.path(self.frames, self.layout), self.device)

    @torch.no_grad()
    def run(self) -> None:
        """Compute the tokens once more, and record the latency of every part."""
        marks: dict[str, list[Any]] = defaultdict(list)
        hooks = []
        for name, part in self.path.parts().items():
            hooks.append(part.register_forward_pre_hook(lambda *_, name=name: marks[name].append(self._mark())))
            hooks.append(part.register_forward_hook(lambda *_, name=name: marks[name].append(self._mark())))
        self.path(self.frames, self.layout)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        for handle in hooks:
            handle.remove()
        for name, (start, end) in marks.items():
            elapsed = start.elapsed_time(end) if self.device.type == "cuda" else 1000 * (end - start)
            self.laps[name].append(float(elapsed))

    def timings(self) -> dict[str, Timing]:
        """Return the timing of every part."""
        return {name: Timing(median(laps), self.peaks[name], len(laps)) for name, laps in self.laps.items()}

    def _mark(self) -> Any:
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def time_side_by_side(paths: Sequence[TimedPath], repeats: int, seconds: float) -> None:
    """Run all paths in turn, so that other load on the machine affects them equally.

    Args:
        paths: visual paths, each of which is warmed up and runs at least once.
        repeats: maximum number of runs per path.
        seconds: time after which no further round begins.
    """
    for path in paths:
        path.warm_up()
    start = time.perf_counter()
    for _ in range(repeats):
        for path in paths:
            path.run()
        if time.perf_counter() - start > seconds:
            break
