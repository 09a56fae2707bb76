"""Latency and peak memory of the visual path on a device, with random weights."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

from components.encoders import TokenLayout
from lightning_modules.costs.peak_memory import peak_memory
from lightning_modules.costs.visual_path import Clip, VisualPath

WARM_UP_RUNS = 3  # after the first, on CUDA: kernels are chosen and loaded, and memory is reserved, in the first ones


@dataclass(frozen=True)
class Timing:
    """Latency and peak memory of a part for one batch of clips.

    Attributes:
        latency_ms: median time from the call of the part to its result, in milliseconds.
        peak_memory_mib: peak of allocated memory in MiB without weights and input, neither compiled nor as a graph.
        runs: number of runs in the median.
    """

    latency_ms: float
    peak_memory_mib: float
    runs: int


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allow or forbid products of float32 matrices and convolutions with the 10-bit mantissas of TF32, for a while."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


class TimedPath:
    """A visual path with random weights and clips on a device, ready to be timed: as a whole, then part by part.

    Attributes:
        compiled: whether the whole path is compiled; false where that was wanted and failed.
        failure: why it could not be compiled; empty otherwise.
    """

    def __init__(
        self,
        path: VisualPath,
        clip: Clip,
        device: torch.device,
        dtype: torch.dtype,
        compiled: bool = False,
        cuda_graph: bool = False,
    ) -> None:
        """Move a path from the meta device to `device`.

        Args:
            path: visual path on the meta device.
            clip: clips that it encodes.
            device: device that it is timed on.
            dtype: number format of weights and frames.
            compiled: whether torch.compile makes one graph of the path.
            cuda_graph: whether all kernels are launched at once; a CUDA graph is of one layout.

        Raises:
            ValueError: the encoder does not take the clip.
        """
        path.randomise(device, dtype)
        self.path = path
        self.device = device
        self.layout: TokenLayout = path.encoder.layout(clip.shapes(path.encoder)).to(device)
        self.frames = clip.pixels(device, dtype)
        self.compiled, self.cuda_graph, self.failure = compiled, cuda_graph, ""
        self.laps: dict[str, list[float]] = defaultdict(list)
        self.peaks: dict[str, float] = {}
        self.whole: Callable[[], Tensor] = lambda: self.path(self.frames, self.layout)

    @torch.no_grad()
    def warm_up(self) -> None:
        """Record the peak memory, compile and record a graph if wanted, and run until times are those of later runs."""
        self.peaks = peak_memory(self.path.parts(), lambda: self.path(self.frames, self.layout), self.device)
        if self.compiled:
            self._compile()
        if self.device.type == "cuda":
            with torch.cuda.device(self.device):
                self._warm_up_on_a_stream()
                if self.cuda_graph:
                    self.whole = _recorded(self.whole)

    def _compile(self) -> None:
        function = torch.compile(self.path, fullgraph=True, dynamic=False)
        try:
            function(self.frames, self.layout)
        except Exception as error:  # of any kind: of the compiler, of a compiler of C++ or Triton, or of the driver
            self.compiled, self.failure = False, f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        else:
            self.whole = lambda: function(self.frames, self.layout)

    def _warm_up_on_a_stream(self) -> None:
        stream = torch.cuda.Stream()  # work that is recorded must have run on another stream than the default one
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_RUNS):
                self.whole()
        torch.cuda.current_stream().wait_stream(stream)

    @torch.no_grad()
    def run(self) -> None:
        """Compute the tokens once without hooks for the whole path's latency, and once more for those of its parts."""
        self._synchronize()
        start = time.perf_counter()
        self.whole()
        self._synchronize()
        self.laps["visual"].append(1000 * (time.perf_counter() - start))
        self._run_parts()

    def _run_parts(self) -> None:
        marks: dict[str, list[Any]] = defaultdict(list)
        hooks = []
        for name, part in self.path.parts().items():
            if part is not self.path:
                hooks.append(part.register_forward_pre_hook(lambda *_, name=name: marks[name].append(self._mark())))
                hooks.append(part.register_forward_hook(lambda *_, name=name: marks[name].append(self._mark())))
        self.path(self.frames, self.layout)
        self._synchronize()
        for handle in hooks:
            handle.remove()
        for name, (start, end) in marks.items():
            elapsed = start.elapsed_time(end) if self.device.type == "cuda" else 1000 * (end - start)
            self.laps[name].append(float(elapsed))

    def timings(self) -> dict[str, Timing]:
        """Return the timing of every part."""
        return {name: Timing(median(laps), self.peaks[name], len(laps)) for name, laps in self.laps.items()}

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _mark(self) -> Any:
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))  # the current one may be another device's
        return event


def _recorded(function: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Return a function that launches all kernels of a warm `function` at once, with the same tensors as its input."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        tokens = function()

    def replay() -> Tensor:
        graph.replay()
        return tokens

    return replay


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
