"""Clips with question, reference and answer, in TensorBoard's image and text tabs at every validation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image, ImageDraw
from torch import Tensor

from lightning_modules.video_language import Answer, ModelInput, VideoLanguageModel

STRIP_HEIGHT = 96  # pixels of a shown frame: small clips are enlarged, large ones reduced
CAPTION_HEIGHT = 34


def film_strip(frames: Tensor, answer: Answer) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Draw the frames (T, 3, H, W) uint8 side by side above question, reference and answer; returns (H, W, 3)."""
    pictures = [
        Image.fromarray(frame.permute(1, 2, 0).cpu().numpy()).resize((STRIP_HEIGHT, STRIP_HEIGHT), Image.Resampling.BOX)
        for frame in frames
    ]
    strip = Image.new("RGB", (STRIP_HEIGHT * len(pictures), STRIP_HEIGHT + CAPTION_HEIGHT), "white")
    for position, picture in enumerate(pictures):
        strip.paste(picture, (position * STRIP_HEIGHT, 0))
    draw = ImageDraw.Draw(strip)
    draw.text((4, STRIP_HEIGHT + 3), f"{answer.sample.family}: {answer.sample.question}", fill="black")
    draw.text(
        (4, STRIP_HEIGHT + 18),
        f"reference: {answer.sample.answer}   answer: {answer.prediction}",
        fill="darkgreen" if answer.right else "firebrick",
    )
    return np.asarray(strip)


class SamplePanel(Callback):
    """Shows the first questions of each family with what the model answers."""

    def __init__(self, per_family: int = 1, frames: int = 8) -> None:
        """Choose how much is shown.

        Args:
            per_family: questions per family.
            frames: shown frames per clip at most, evenly chosen.
        """
        self.per_family = per_family
        self.frames = frames
        self._start()

    def _start(self) -> None:
        self.shown: dict[str, list[tuple[Answer, Tensor]]] = {}

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
        """Pick questions of families that are not yet full."""
        if not isinstance(batch, ModelInput) or not isinstance(pl_module, VideoLanguageModel):
            return
        answers = pl_module.answers[-len(batch.samples) :]
        missing = [
            position
            for position, answer in enumerate(answers)
            if len(self.shown.get(answer.sample.family, [])) < self.per_family
        ]
        if not missing:
            return
        clips = batch.frames.split(batch.frame_counts)
        for position in missing:
            group = self.shown.setdefault(answers[position].sample.family, [])
            if len(group) < self.per_family:
                chosen = torch.linspace(0, len(clips[position]) - 1, min(self.frames, len(clips[position]))).long()
                group.append((answers[position], clips[position][chosen.to(batch.frames.device)]))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the panel."""
        logger = trainer.logger
        if not isinstance(logger, TensorBoardLogger) or trainer.sanity_checking:
            return
        rows = ["| family | question | reference | answer |", "| --- | --- | --- | --- |"]
        for family, group in sorted(self.shown.items()):
            for number, (answer, frames) in enumerate(group):
                logger.experiment.add_image(
                    f"samples/{family}/{number}", film_strip(frames, answer), trainer.global_step, dataformats="HWC"
                )
                mark = "" if answer.right else " ✗"
                rows.append(
                    f"| {family} | {answer.sample.question} | {answer.sample.answer} | {answer.prediction}{mark} |"
                )
        logger.experiment.add_text("answers", "\n".join(rows), trainer.global_step)
