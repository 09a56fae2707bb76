"""How many parameters an experiment's encoder has more or fewer than that of the files it builds on."""

from __future__ import annotations

from typing import Any

import torch
from jsonargparse import ArgumentParser
from torch import nn

from components.encoders import VideoEncoder


def parameter_difference(encoder: VideoEncoder, base: dict[str, Any]) -> list[str]:
    """Return a line for the encoder and for each of its slots whose number of parameters differs.

    Args:
        encoder: the experiment's.
        base: configuration of the other encoder; it is built without memory for its weights.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(VideoEncoder, "encoder")
    with torch.device("meta"):
        other = parser.instantiate(parser.parse_object({"encoder": base})).encoder
    ours, theirs = _counts(encoder), _counts(other)
    return [
        f"{name}: {theirs.get(name, 0):,} -> {ours.get(name, 0):,} parameters"
        for name in dict.fromkeys([*ours, *theirs])
        if ours.get(name, 0) != theirs.get(name, 0)
    ]


def _counts(encoder: nn.Module) -> dict[str, int]:
    parts = {"encoder": encoder} | {f"encoder.{name}": part for name, part in encoder.named_children()}
    return {name: sum(parameter.numel() for parameter in part.parameters()) for name, part in parts.items()}
