"""Clips with question, reference and answer, in TensorBoard's image and text tabs at every validation."""

from __future__ import annotations

import re
from collections import Counter, deque
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image, ImageDraw
from torch import Tensor

from components.positive import check_positive
from datamodules.printable import printable
from lightning_modules.scoring.evaluation import Answer
from lightning_modules.training.model_input import ModelInput
from lightning_modules.video_language import VideoLanguageModel

FRAME_SIDE = 96  # pixels of a shown frame: small clips are enlarged, large ones reduced
FRAMES_PER_ROW = 4  # about as wide as TensorBoard shows a picture in its overview
CAPTION_HEIGHT = 34


# What Markdown would take for more than text, such as the `|` that ends a cell.
_MARKUP = re.compile(r"[\\`*_|<>&\[\]#~!$]")


def in_one_line(text: str) -> str:
    """Return a question, which may list options in lines of their own, or an answer as one line."""
    return printable(" ".join(text.split()))


def table_row(*cells: str) -> str:
    """Return a row of a table in Markdown, which shows every cell as it is."""
    return f"| {' | '.join(_MARKUP.sub(lambda mark: f'&#{ord(mark[0])};', in_one_line(cell)) for cell in cells)} |"


def film_strip(frames: Tensor, answer: Answer) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Draw the frames (T, 3, H, W) uint8 in rows above question, reference and answer; returns (H, W, 3)."""
    rows = -(-len(frames) // FRAMES_PER_ROW)
    bottom = FRAME_SIDE * rows
    strip = Image.new("RGB", (FRAME_SIDE * FRAMES_PER_ROW, bottom + CAPTION_HEIGHT), "white")
    for number, frame in enumerate(frames):
        row, column = divmod(number, FRAMES_PER_ROW)
        picture = Image.fromarray(frame.permute(1, 2, 0).cpu().numpy())
        picture = picture.resize((FRAME_SIDE, FRAME_SIDE), Image.Resampling.BOX)
        strip.paste(picture, (column * FRAME_SIDE, row * FRAME_SIDE))
    draw = ImageDraw.Draw(strip)
    draw.text((4, bottom + 3), f"{answer.sample.family}: {in_one_line(answer.sample.question)}", fill="black")
    draw.text(
        (4, bottom + 18),
        f"reference: {in_one_line(answer.sample.answer)}   answer: {in_one_line(answer.prediction)}",
        fill="darkgreen" if answer.right else "firebrick",
    )
    return np.asarray(strip)


class SamplePanel(Callback):
    """Shows a few questions of each family with what the model answers.

    Often the same clips are asked about in every family. So the second family shows its second question, the third its
    third and so on, and a panel shows as many clips as it can.
    """

    def __init__(self, per_family: int = 1, frames: int = 8) -> None:
        """Choose how much is shown.

        Args:
            per_family: questions per family.
            frames: shown frames per clip at most, evenly chosen.

        Raises:
            ValueError: one of them is not positive.
        """
        check_positive("trainer.callbacks.SamplePanel", per_family=per_family, frames=frames)
        self.per_family = per_family
        self.frames = frames
        self._start()

    def _start(self) -> None:
        self.shown: dict[str, deque[tuple[Answer, Tensor | None]]] = {}
        self.seen: Counter[str] = Counter()

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a new panel."""
        self._start()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Pick questions of families that are not yet done."""
        if not isinstance(batch, ModelInput) or not batch.is_real or not isinstance(pl_module, VideoLanguageModel):
            return
        families = pl_module.scores.families
        clips = iter(batch.frames.split(batch.frame_counts))
        for answer in pl_module.answers[-len(batch.samples) :]:
            clip = next(clips) if answer.sample.video else None
            family = answer.sample.family
            if self.seen[family] == families.index(family) + self.per_family:
                continue
            self.seen[family] += 1
            shown = self.shown.setdefault(family, deque(maxlen=self.per_family))
            shown.append((answer, None if clip is None else self._some(clip)))

    def _some(self, clip: Tensor) -> Tensor:
        chosen = torch.linspace(0, len(clip) - 1, min(self.frames, len(clip))).long()
        return clip[chosen.to(clip.device)]

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the panel."""
        logger = trainer.logger
        if not isinstance(logger, TensorBoardLogger) or trainer.sanity_checking:
            return
        rows = ["| family | question | reference | answer |", "| --- | --- | --- | --- |"]
        for family, group in sorted(self.shown.items()):
            for number, (answer, frames) in enumerate(group):
                if frames is not None:
                    strip = film_strip(frames, answer)
                    logger.experiment.add_image(
                        f"samples/{family}/{number}", strip, trainer.global_step, dataformats="HWC"
                    )
                mark = "" if answer.right else " ✗"
                sample = answer.sample
                rows.append(table_row(family, sample.question, sample.answer, f"{answer.prediction}{mark}"))
        logger.experiment.add_text("answers", "\n".join(rows), trainer.global_step)
