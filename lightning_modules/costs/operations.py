"""Parameters, operations and tokens, counted without computing anything."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lightning_modules.costs.visual_path import Clip, VisualPath

META = torch.device("meta")


@dataclass(frozen=True)
class Operations:
    """Costs of a part for one clip.

    Attributes:
        parameters: number of parameters.
        gmac: multiply-accumulates of convolutions and matrix products, in 1e9.
        tokens: number of output vectors.
    """

    parameters: int
    gmac: float
    tokens: int


def count_operations(path: VisualPath, clip: Clip) -> dict[str, Operations]:
    """Return the costs of every part of a path on the meta device, except for null objects.

    Raises:
        ValueError: the encoder does not take the clip.
    """
    tokens: dict[str, int] = {}

    def note(name: str) -> object:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor):
                tokens[name] = output.shape[:-1].numel()

        return hook

    hooks = [part.register_forward_hook(note(name)) for name, part in path.parts().items()]  # type: ignore[arg-type]
    layout = path.encoder.layout(clip.shapes(path.encoder)).to(META)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        path(clip.pixels(META, torch.float32), layout)
    for handle in hooks:
        handle.remove()
    flops = counter.get_flop_counts()
    operations = {}
    for name, part in path.parts().items():
        place = "VisualPath" if name == "visual" else f"VisualPath.{name}"
        parameters = sum(parameter.numel() for parameter in part.parameters())
        gmac = sum(flops.get(place, {}).values()) / 2e9
        if parameters or gmac:
            operations[name] = Operations(parameters, gmac, tokens.get(name, 0))
    return operations
