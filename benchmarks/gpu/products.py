"""Products of the visual path whose rows are not multiples of 16 bytes: python -m benchmarks.gpu.products."""

from functools import partial

import torch
from torch.nn import functional as F

from benchmarks.gpu.measuring import Place, Row, each, main

# (tokens, inputs, outputs), at the paper's size
PRODUCTS = {"patches": (8192, 588, 1024), "LSTE, reduce": (8192, 1024, 682), "LSTE, expand": (8192, 682, 1024)}


def product_row(place: Place, tokens: int, inputs: int, outputs: int) -> Row:
    """Return the times of a product in bfloat16 as it is, and with inputs and outputs filled up to multiples of 8."""
    left, right = (torch.randn(size, inputs, device=place.device).bfloat16() for size in (tokens, outputs))
    filled = F.pad(left, (0, -inputs % 8)), F.pad(right, (0, -inputs % 8, 0, -outputs % 8))
    return {"as it is ms": place.milliseconds(lambda: left @ right.T, 20),
            "filled up ms": place.milliseconds(lambda: filled[0] @ filled[1].T, 20)}  # fmt: skip


def measure(place: Place) -> list[Row]:
    """Return a line per product."""
    shrink = 16 if place.rehearsal else 1
    return each(place, {
        name: partial(product_row, place, tokens // shrink, inputs, outputs)
        for name, (tokens, inputs, outputs) in PRODUCTS.items()
    })  # fmt: skip


if __name__ == "__main__":
    main("products", __doc__, measure)
