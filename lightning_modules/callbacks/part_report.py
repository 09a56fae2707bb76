"""Proof that a removed part is gone and that what is left matters: what an encoder is made of, written into the run."""

from __future__ import annotations

from collections.abc import Mapping

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_warn
from torch import nn

from components.encoders import VideoEncoder
from components.whole_file import write_whole
from lightning_modules.encoder_parts import FRAMES, NOISE, count, effects, inert, parts, without
from lightning_modules.runs.folder import run_folder
from lightning_modules.video_language import VideoLanguageModel

FILE = "parts.md"


class PartReport(Callback):
    """Writes `parts.md` when a training begins, and shows it in TensorBoard's text tab.

    A part whose parameters change nothing is warned about. The report is of the weights that the training begins with;
    one that goes on keeps it.

    Attributes:
        base: encoder of what the experiment builds on, without memory for its weights; None if it is the same.
    """

    def __init__(self) -> None:
        self.base: VideoEncoder | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write it, before the weights go to a device or are sharded."""
        folder = run_folder(trainer)
        if stage != "fit" or folder is None or not trainer.is_global_zero or (folder / FILE).exists():
            return
        assert isinstance(pl_module, VideoLanguageModel)
        text = report(pl_module.encoder, self.base)
        write_whole(folder / FILE, text)
        if isinstance(trainer.logger, TensorBoardLogger):
            trainer.logger.experiment.add_text("parts", text)


def report(encoder: VideoEncoder, base: VideoEncoder | None) -> str:
    """Return what the encoder is made of, in Markdown: its parts, what is gone of its base, and all its tensors.

    Args:
        encoder: with its weights.
        base: what it is compared with; None for nothing.
    """
    try:
        moved = effects(encoder)
        said = (
            f"Noise of {NOISE:.0%} on the parameters of a part moves the visual tokens of a random clip of {FRAMES} "
            "frames by so much (norm of the difference, as a share of theirs), in evaluation mode."
        )
    except Exception as error:  # of an encoder of one's own, perhaps: a report must not end a training
        moved, said = {}, f"Whether its parts matter was not tried: {error}."
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
    lines += [*_table(encoder, base, moved), "", said, ""]
    if base is not None:
        lines += _difference("Gone: tensors of the base that this encoder does not have", without(encoder, base))
        lines += _difference("New: tensors that the base does not have", without(base, encoder))
    every = {name: tuple(parameter.shape) for name, parameter in encoder.named_parameters()}
    return "\n".join(lines + _difference("All tensors", every))


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


def _kind(found: Mapping[str, nn.Module], path: str) -> str:
    return type(found[path]).__name__ if path in found else "-"


def _difference(title: str, tensors: dict[str, tuple[int, ...]]) -> list[str]:
    lines = [f"{name} {' x '.join(map(str, shape)) or 'a number'}" for name, shape in tensors.items()] or ["none"]
    return [f"## {title}", "", "```", *lines, "```", ""]
