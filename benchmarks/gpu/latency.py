"""Latency of the visual path at batch 1 and 16: python -m benchmarks.gpu.latency."""

from dataclasses import replace
from functools import partial

import torch

from benchmarks.gpu.measuring import Goal, Place, Row, each, judged, main, with_ratios
from benchmarks.plain_stab import PlainSTAB
from lightning_modules.costs.operations import count_operations
from lightning_modules.costs.timing import TimedPath, tf32
from lightning_modules.costs.visual_path import visual_path

FORMATS = {"bf16": (torch.bfloat16, False), "TF32": (torch.float32, True), "fp32": (torch.float32, False)}
MODES = {"eager": (False, False), "graph": (False, True), "compiled": (True, False), "compiled, graph": (True, True)}
OTHERS = [("LanguageBind x 8", "video_llava"), ("CLIP x 100", "video_chatgpt")]
GOALS = {"ours, bf16, batch 1, eager": Goal("latency ms", at_most=1.0),
         "ours, bf16, batch 1, compiled, graph": Goal("latency ms", at_most=0.45),
         "ours, bf16, batch 16, eager": Goal("% of large products", at_least=50),
         "LanguageBind x 8, bf16, batch 1, eager": Goal("times the first", at_least=20)}  # fmt: skip


def path_row(place: Place, name: str, experiment: str, numbers: str, clips: int, compiled: bool, graph: bool) -> Row:
    """Return latency and rate of one path; for `plain`, the rate of the operations that ours needs."""
    dtype, allowed = FORMATS[numbers]
    torch.compiler.reset()  # or a code that is compiled for many sizes meets torch's limit
    with torch.no_grad(), tf32(allowed):
        path, clip = visual_path(place.resolve(experiment, [], []))
        clip = replace(clip, clips=clips)
        flop = 2e9 * count_operations(path, clip)["visual"].gmac
        timed = TimedPath(path, clip, place.device, dtype, compiled, graph)
        if name == "plain":
            plain, shapes = PlainSTAB(path.encoder), clip.shapes(path.encoder)
            timed.whole = lambda: path.projector(torch.cat(plain(timed.frames, shapes)))
        else:
            timed.warm_up()
        latency = place.milliseconds(timed.whole, 2 if place.rehearsal else 30)
        large = torch.randn(2 * [256 if place.rehearsal else 8192], device=place.device, dtype=dtype)
        fastest = 2 * len(large) ** 3 / place.milliseconds(lambda: large @ large, 10)
    facts = {"latency ms": latency, "GFLOP needed": flop / 1e9, "% of large products": 100 * flop / latency / fastest}
    return facts | ({"not compiled": timed.failure} if timed.failure else {})


def measure(place: Place) -> list[Row]:
    """Return a line per path, number format, batch and way to run it, those with a goal first."""
    kinds = [("ours", "full", mode) for mode in MODES] + [("plain", "full", "eager")]
    kinds += [(*other, mode) for mode in ("eager", "graph") for other in OTHERS]
    cases = {
        f"{name}, {numbers}, batch {clips}, {mode}":
            partial(path_row, place, name, experiment, numbers, clips, *MODES[mode])
        for clips in (1, 16) for numbers in FORMATS for name, experiment, mode in kinds
        if name == "ours" or (clips, numbers) == (1, "bf16")
    }  # fmt: skip
    names = [name for name in dict.fromkeys([*GOALS, *cases]) if not place.rehearsal or name.endswith("eager")]
    return judged(place, with_ratios(each(place, {name: cases[name] for name in names}), "latency ms"), GOALS)


if __name__ == "__main__":
    main("latency", __doc__, measure)
