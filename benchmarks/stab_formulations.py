"""Times STAB against its plain formulation, side by side: python benchmarks/stab_formulations.py.

Both share one set of weights and get the same frames. Repetitions alternate, so that other load on the machine hits
both alike; medians and their ratio are printed. The MLP projector is included unless --llm-width 0.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a file, Python would look for packages beside it only

from benchmarks.plain_stab import PlainSTAB
from components.encoders import STAB, VideoShapes
from components.projectors import MLPProjector


def functions(arguments: argparse.Namespace, device: str) -> tuple[nn.Module, dict[str, Callable[[], Tensor]]]:
    """Return the model and, per formulation, a function that computes the tokens of one square clip."""
    encoder = STAB(arguments.width, arguments.patch_size).to(device).eval()
    projector = MLPProjector(arguments.width, arguments.llm_width) if arguments.llm_width else nn.Identity()
    projector, plain = projector.to(device), PlainSTAB(encoder)
    frames = torch.randn(arguments.frames, 3, arguments.canvas, arguments.canvas, device=device)
    side = arguments.canvas // arguments.patch_size
    rectangles = torch.tensor([0, 0, side, side]).expand(arguments.frames, 4)
    shapes = VideoShapes(torch.tensor([arguments.frames]), rectangles, (side, side))

    def packed() -> Tensor:
        layout = encoder.layout(shapes).to(device)
        return projector(encoder(frames, layout))[layout.order]

    def looped() -> Tensor:
        return torch.cat([projector(tokens) for tokens in plain(frames, shapes)])

    return nn.ModuleList([encoder, projector]), {"plain": looped, "ours": packed}


def gmac(arguments: argparse.Namespace) -> dict[str, float]:
    """Count multiply-accumulates of convolutions and matrix products, without computing them."""
    counts = {}
    for name, function in functions(arguments, "meta")[1].items():
        with FlopCounterMode(display=False) as counter:
            function()
        counts[name] = counter.get_total_flops() / 2e9
    return counts


def seconds(function: Callable[[], Tensor], model: nn.Module, backward: bool, device: str) -> float:
    """Time one call."""
    model.zero_grad()
    synchronise = torch.cuda.synchronize if device == "cuda" else lambda: None
    synchronise()
    start = time.perf_counter()
    with torch.set_grad_enabled(backward):
        tokens = function()
        if backward:
            tokens.sum().backward()
    synchronise()
    return time.perf_counter() - start


def measure(arguments: argparse.Namespace, device: str) -> dict[str, dict[str, float]]:
    """Return medians and their ratio for forward and forward + backward, and the largest difference of the tokens."""
    model, both = functions(arguments, device)
    with torch.no_grad():
        tokens = {name: function() for name, function in both.items()}
    results: dict[str, dict[str, float]] = {
        "tokens": {"largest difference": float((tokens["plain"] - tokens["ours"]).abs().max())}
    }
    for label, backward in (("forward", False), ("forward + backward", True)):
        times: dict[str, list[float]] = {name: [] for name in both}
        for repeat in range(arguments.repeats + 1):
            for name, function in both.items():
                taken = seconds(function, model, backward, device)
                if repeat > 0:  # the first is warm-up
                    times[name].append(taken)
        medians = {name: median(taken) for name, taken in times.items()}
        results[label] = {**medians, "plain / ours": medians["plain"] / medians["ours"]}
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--width", type=int, default=1024, help="width of STAB")
    parser.add_argument("--llm-width", type=int, default=4096, help="output of the projector, 0 for none")
    parser.add_argument("--frames", type=int, default=8, help="frames of the clip")
    parser.add_argument("--canvas", type=int, default=448, help="side of a frame in pixels")
    parser.add_argument("--patch-size", type=int, default=14, help="side of a patch in pixels")
    parser.add_argument("--repeats", type=int, default=5, help="timed repetitions of each")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--out", type=Path, help="write the results to this JSON file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)

    settings = {name: value for name, value in vars(arguments).items() if name != "out"}
    report: dict[str, object] = {"settings": settings, "torch": torch.__version__, "gmac": (counts := gmac(arguments))}
    print("GMAC", {name: round(count, 2) for name, count in counts.items()})
    for device in ["cpu"] + ["cuda"] * torch.cuda.is_available():
        report[device] = results = measure(arguments, device)
        for label, numbers in results.items():
            print(device, label, {name: float(f"{number:.3g}") for name, number in numbers.items()})
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
