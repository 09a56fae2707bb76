"""Shows clips with question, reference and answer in the loggers at every validation."""

from __future__ import annotations

from collections import Counter, deque
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from PIL import Image, ImageDraw
from torch import Tensor

from components.positive import check_positive
from lightning_modules.runs.logger_families import Cell, Table, in_one_line, shown_by
from lightning_modules.scoring.evaluation import Answer
from lightning_modules.training.model_input import ModelInput
from lightning_modules.video_language import VideoLanguageModel

FRAME_SIDE = 96  # pixels of a shown frame: small clips are enlarged, large ones reduced
FRAMES_PER_ROW = 4  # about the width of a picture in the overviews of loggers
CAPTION_HEIGHT = 34
COLUMNS = ("frames", "family", "question", "reference", "answer", "right", "clip")


def film_strip(frames: Tensor, answer: Answer) -> Image.Image:
    """Draw frames (T, 3, H, W) uint8 in rows above question, reference and answer."""
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
    return strip


class SamplePanel(Callback):
    """Shows a few questions of each family with the model's answers at every validation.

    The families often have questions about the same clips. So the second family shows its second question, the third
    its third and so on, and a panel shows many different clips.
    """

    def __init__(self, per_family: int = 1, frames: int = 8) -> None:
        """Set the size of a panel.

        Args:
            per_family: number of questions of each family.
            frames: maximum number of frames of a clip, evenly spaced.

        Raises:
            ValueError: one of them is below 1.
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
        """Pick questions of families that do not have enough yet."""
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
        """Show the panel."""
        if trainer.sanity_checking:
            return
        rows: list[list[Cell]] = []
        families = shown_by(trainer)
        for name, group in sorted(self.shown.items()):
            for number, (answer, frames) in enumerate(group):
                strip = None if frames is None else film_strip(frames, answer)
                if strip is not None:
                    for family in families:
                        family.picture(f"samples/{name}/{number}", strip, trainer.global_step)
                sample = answer.sample
                clip = Path(sample.video or "").name
                rows.append([strip, name, sample.question, sample.answer, answer.prediction, answer.right, clip])
        for family in families:
            family.table("answers", Table(COLUMNS, rows, pictures=COLUMNS[:1]), trainer.global_step)
