"""Writes `parts.md` of a run: the parts of its encoder, whether each one matters, and the differences from its base."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jsonargparse import ArgumentParser
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.func import functional_call

from components.encoders import VideoEncoder, VideoShapes
from components.files import write_whole
from components.registry import slot_names
from lightning_modules.runs.folder import run_folder
from lightning_modules.runs.logger_families import shown_by
from lightning_modules.video_language import VideoLanguageModel

FILE = "parts.md"
NOISE = 0.1  # as a share of the root mean square of a tensor
FRAMES = 2  # so that no part treats the clip as an image
WINDOWS = 2  # along each side of a frame, for an encoder that takes any canvas
INERT = 1e-6  # largest effect that may be rounding


class PartReport(Callback):
    """Writes `parts.md` when a training begins, and shows it in the loggers.

    The report is about the initial weights; a resumed training keeps it. It warns about parts whose parameters change
    nothing.
    """

    def __init__(self, base: VideoEncoder | None = None) -> None:
        """Store the encoder of the experiment's base, on the meta device; None if it is the same."""
        self.base = base

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the report before the weights are moved to a device or sharded."""
        folder = run_folder(trainer)
        if stage != "fit" or folder is None or not trainer.is_global_zero or (folder / FILE).exists():
            return
        assert isinstance(pl_module, VideoLanguageModel)
        text = report(pl_module.encoder, self.base)
        write_whole(folder / FILE, text)
        for family in shown_by(trainer):
            family.text("parts", text)


def report(encoder: VideoEncoder, base: VideoEncoder | None) -> str:
    """Return a report on an encoder in Markdown: its parts, its differences from its base, and all its tensors.

    Args:
        encoder: encoder with its weights.
        base: encoder to compare with, or None.
    """
    try:
        moved = effects(encoder)
        sentence = (
            f"Noise of {NOISE:.0%} on the parameters of a part moves the visual tokens of a random clip of {FRAMES} "
            "frames by so much (norm of the difference, as a share of theirs), in evaluation mode."
        )
    except Exception as error:  # any error of a user's encoder: a report must not stop a training
        moved, sentence = {}, f"Whether its parts matter was not tried: {error}."
        if not isinstance(error, ValueError):
            rank_zero_warn(f"{FILE}: whether the encoder's parts matter was not tried: {error!r}")
    dead = inert(moved)
    warnings = [
        f"model.encoder.{path} ({type(encoder.get_submodule(path)).__name__}) has "
        f"{count(encoder.get_submodule(path)):,} parameters that change nothing: noise on them leaves all visual "
        "tokens as they are"
        for path in dead
    ]
    for warning in warnings:
        rank_zero_warn(warning)
    lines = [f"# {type(encoder).__name__}: {count(encoder):,} parameters", ""]
    lines += [f"**Warning: {warning}.**\n" for warning in warnings]
    lines += [*_table(encoder, base, moved), "", sentence, ""]
    if base is not None:
        lines += _difference("Gone: tensors of the base that this encoder does not have", without(encoder, base))
        lines += _difference("New: tensors that the base does not have", without(base, encoder))
    shapes = {name: tuple(parameter.shape) for name, parameter in encoder.named_parameters()}
    return "\n".join(lines + _difference("All tensors", shapes))


def _table(encoder: VideoEncoder, base: VideoEncoder | None, moved: dict[str, float]) -> list[str]:
    ours, theirs = parts(encoder), parts(base) if base is not None else {}
    whole = max(1, count(encoder))
    heads = ["part", "class", "parameters", "share", "noise moves tokens by"]
    rows = []
    children = list(dict.fromkeys(path.split(".")[0] for path in [*ours, *theirs]))
    for path in sorted({**ours, **theirs}, key=lambda path: children.index(path.split(".")[0])):
        number = count(ours[path]) if path in ours else 0
        effect = f"{moved[path]:.1%}" if path in moved else "-"
        cells = [path, _kind(ours, path), f"{number:,}", f"{number / whole:.1%}", effect]
        if base is not None:
            cells += [_kind(theirs, path), f"{count(theirs[path]) if path in theirs else 0:,}"]
        rows.append(cells)
    if base is not None:
        heads += ["in the base", "its parameters"]
    rule = ["---" if head in ("part", "class", "in the base") else "---:" for head in heads]
    return [f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)]


def _kind(modules: Mapping[str, nn.Module], path: str) -> str:
    return type(modules[path]).__name__ if path in modules else "-"


def _difference(title: str, tensors: dict[str, tuple[int, ...]]) -> list[str]:
    lines = [f"{name} {' x '.join(map(str, shape)) or 'a number'}" for name, shape in tensors.items()] or ["none"]
    return [f"## {title}", "", "```", *lines, "```", ""]


def parts(encoder: nn.Module) -> dict[str, nn.Module]:
    """Return path -> part: the children of an encoder, and the modules in the slots of its parts."""
    within = [path.removeprefix("encoder.") for path in slot_names("encoder", encoder)]
    children = dict(encoder.named_children())
    modules = {path: encoder.get_submodule(path) for path in within} | children
    order = {name: number for number, name in enumerate(children)}
    return dict(sorted(modules.items(), key=lambda item: (order.get(item[0].split(".")[0], 0), item[0])))


def count(part: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in part.parameters())


def effects(encoder: VideoEncoder) -> dict[str, float]:
    """Return path of a part -> relative change of the visual tokens under noise on its parameters.

    The noise is a tenth of each tensor's root mean square (0.1 for a tensor of zeros), the clip is random, and the
    encoder is in evaluation mode. Parts without parameters are left out. Weights, modes and the random state stay as
    they are.

    Raises:
        ValueError: the weights are not on this process, or the encoder does not take the clip.
    """
    weights = dict(encoder.named_parameters())
    if any(weight.is_meta or isinstance(weight, DTensor) for weight in weights.values()):
        raise ValueError("its weights are not in the memory of this process alone")
    device = next(iter(weights.values())).device
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), torch.inference_mode(), _evaluating(encoder), _few_threads(encoder):
        random = torch.Generator().manual_seed(0)
        side = (encoder.canvas or WINDOWS * encoder.stride * encoder.patch_size) // encoder.patch_size
        rectangles = torch.tensor([[0, 0, side, side]] * FRAMES)
        layout = encoder.layout(VideoShapes(torch.tensor([FRAMES]), rectangles, (side, side))).to(device)
        pixels = side * encoder.patch_size
        clip = torch.randint(256, (FRAMES, 3, pixels, pixels), dtype=torch.uint8, generator=random)
        frames = encoder.normalize(clip.to(device))

        def tokens(changed: Mapping[str, Tensor]) -> Tensor:
            features: Tensor = functional_call(encoder, dict(changed), (frames, layout))
            return features.index_select(0, layout.order).double()

        before, changes = tokens({}), {}
        for path, part in parts(encoder).items():
            noisy = {f"{path}.{name}": _noisy(weight, random) for name, weight in part.named_parameters()}
            if noisy:
                changes[path] = float((tokens(noisy) - before).norm() / before.norm())
    return changes


def inert(effects: Mapping[str, float]) -> list[str]:
    """Return the parts whose parameters change nothing."""
    return [path for path, effect in effects.items() if effect < INERT]


def without(encoder: nn.Module, base: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of the tensors of `base` that `encoder` does not have with this name and shape."""
    ours = {name: tuple(parameter.shape) for name, parameter in encoder.named_parameters()}
    theirs = {name: tuple(parameter.shape) for name, parameter in base.named_parameters()}
    return {name: shape for name, shape in theirs.items() if ours.get(name) != shape}


def _noisy(weight: Tensor, random: torch.Generator) -> Tensor:
    size = weight.float().square().mean().sqrt()
    noise = torch.randn(weight.shape, generator=random).to(weight.device)
    return weight + (NOISE * torch.where(size > 0, size, 1.0) * noise).to(weight.dtype)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


@contextmanager
def _few_threads(encoder: VideoEncoder) -> Iterator[None]:
    """Use one thread for a tiny clip: on a busy machine several are a hundred times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if encoder.canvas is None else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def other_encoder(ours: Mapping[str, Any], base: Mapping[str, Any] | None) -> VideoEncoder | None:
    """Return the encoder of a base on the meta device; None if there is no base or its encoder is the same.

    Args:
        ours: configuration of the experiment's encoder.
        base: configuration of the base's encoder.
    """
    if base is None or base == ours:
        return None
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(VideoEncoder, "encoder")
    with torch.device("meta"):
        built: VideoEncoder = parser.instantiate(parser.parse_object({"encoder": base})).encoder
    return built


def parameter_difference(encoder: nn.Module, base: nn.Module) -> list[str]:
    """Return a line for the encoder and each of its parts whose number of parameters differs from that of `base`."""
    ours, theirs = _counts(encoder), _counts(base)
    return [
        f"{name}: {theirs.get(name, 0):,} -> {ours.get(name, 0):,} parameters"
        for name in dict.fromkeys([*ours, *theirs])
        if ours.get(name, 0) != theirs.get(name, 0)
    ]


def _counts(encoder: nn.Module) -> dict[str, int]:
    parts = {"encoder": encoder} | {f"encoder.{name}": part for name, part in encoder.named_children()}
    return {name: sum(parameter.numel() for parameter in part.parameters()) for name, part in parts.items()}
