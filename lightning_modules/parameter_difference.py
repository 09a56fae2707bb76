"""How many parameters an experiment's encoder has more or fewer than that of the files it builds on."""

from __future__ import annotations

from typing import Any

import torch
from jsonargparse import ArgumentParser
from torch import nn

from components.encoders import VideoEncoder


def without_memory(encoder: dict[str, Any]) -> VideoEncoder:
    """Return the encoder of a configuration, built without memory for its weights."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(VideoEncoder, "encoder")
    with torch.device("meta"):
        built: VideoEncoder = parser.instantiate(parser.parse_object({"encoder": encoder})).encoder
    return built


def parameter_difference(encoder: nn.Module, base: nn.Module) -> list[str]:
    """Return a line for the encoder, and for each of its slots, if its number of parameters is not that of `base`."""
    ours, theirs = _counts(encoder), _counts(base)
    return [
        f"{name}: {theirs.get(name, 0):,} -> {ours.get(name, 0):,} parameters"
        for name in dict.fromkeys([*ours, *theirs])
        if ours.get(name, 0) != theirs.get(name, 0)
    ]


def _counts(encoder: nn.Module) -> dict[str, int]:
    parts = {"encoder": encoder} | {f"encoder.{name}": part for name, part in encoder.named_children()}
    return {name: sum(parameter.numel() for parameter in part.parameters()) for name, part in parts.items()}
