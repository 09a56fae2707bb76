"""What `trainer.precision` means for the number formats of a training."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Precision:
    """Number formats.

    Attributes:
        weights: that all weights are stored in; None leaves each as it was loaded.
        operations: that matrix products take place in, if other than the weights'.
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
_SHORT = {None: "32-true", "32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed"}  # as Lightning understands them


def precision_of(name: str | int | None) -> Precision:
    """Return the number formats of a `trainer.precision`.

    Raises:
        ValueError: one whose memory is not known here.
    """
    text = name if name is None else str(name)
    try:
        return _PRECISIONS[_SHORT.get(text) or str(text)]
    except KeyError:
        raise ValueError(
            f"trainer.precision is {name!r}, whose memory is not known here; known are {', '.join(_PRECISIONS)}"
        ) from None
