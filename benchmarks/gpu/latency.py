"""Latency of the visual path at batch 1 and 16, and of its products: python -m benchmarks.gpu.latency."""

from dataclasses import replace
from functools import partial

import torch
from torch.nn import functional as F

from benchmarks.gpu.measuring import Place, Row, each, main
from benchmarks.plain_stab import PlainSTAB
from lightning_modules.costs.operations import count_operations
from lightning_modules.costs.timing import TimedPath, tf32
from lightning_modules.costs.visual_path import visual_path

FORMATS = {"bf16": (torch.bfloat16, False), "TF32": (torch.float32, True), "fp32": (torch.float32, False)}
MODES = {"eager": (False, False), "graph": (False, True), "compiled": (True, False), "compiled, graph": (True, True)}
# (tokens, inputs, outputs) of the products whose rows are no multiples of 16 bytes in bfloat16.
PRODUCTS = {"patches": (8192, 588, 1024), "LSTE, reduce": (8192, 1024, 682), "LSTE, expand": (8192, 682, 1024)}
OTHERS = [("LanguageBind x 8", "video_llava"), ("CLIP x 100", "video_chatgpt")]
GOALS = {"ours, bf16, batch 1, eager": "1.0 ms", "ours, bf16, batch 1, compiled, graph": "0.45 ms",
         "ours, bf16, batch 16, eager": "50 % of large products",
         "LanguageBind x 8, bf16, batch 1, eager": "20 times ours"}  # fmt: skip


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


def product_row(place: Place, tokens: int, inputs: int, outputs: int) -> Row:
    """Return the times of a product in bfloat16 as it is, and with inputs and outputs filled up to multiples of 8."""
    left, right = (torch.randn(size, inputs, device=place.device).bfloat16() for size in (tokens, outputs))
    filled = F.pad(left, (0, -inputs % 8)), F.pad(right, (0, -inputs % 8, 0, -outputs % 8))
    return {"as it is ms": place.milliseconds(lambda: left @ right.T, 20),
            "filled up ms": place.milliseconds(lambda: filled[0] @ filled[1].T, 20)}  # fmt: skip


def measure(place: Place) -> list[Row]:
    """Return a line per path, number format, batch and way to run it, those with a goal first, and per product."""
    kinds = [("ours", "full", mode) for mode in MODES] + [("plain", "full", "eager")]
    kinds += [(*other, mode) for mode in ("eager", "graph") for other in OTHERS]
    cases = {
        f"{name}, {numbers}, batch {clips}, {mode}":
            partial(path_row, place, name, experiment, numbers, clips, *MODES[mode])
        for clips in (1, 16) for numbers in FORMATS for name, experiment, mode in kinds
        if name == "ours" or (clips, numbers) == (1, "bf16")
    }  # fmt: skip
    cases = {case: cases[case] for case in dict.fromkeys([*GOALS, *cases])}
    cases = {case: row for case, row in cases.items() if not place.rehearsal or case.endswith("eager")}
    shrink = 16 if place.rehearsal else 1
    sizes = {name: (tokens // shrink, *others) for name, (tokens, *others) in PRODUCTS.items()}
    cases |= {f"product, {name}": partial(product_row, place, *size) for name, size in sizes.items()}
    return [{**row, "goal": "" if place.rehearsal else GOALS.get(row["case"], "")} for row in each(place, cases)]


if __name__ == "__main__":
    main("latency", __doc__, measure)
