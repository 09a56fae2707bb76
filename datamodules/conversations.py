"""Training on conversations about real clips: LLaVA-style JSON with a media root."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from datamodules.records import Record
from datamodules.records.llava import load_llava_records
from datamodules.video_text import VideoTextDataModule


def single_questions(records: list[Record]) -> list[Record]:
    """Return one record per answer, with the turns before it as context: what generation is asked."""
    return [
        replace(record, id=f"{record.id}/{number}", turns=record.turns[: number + 1])
        for record in records
        for number in range(len(record.turns))
    ]


class Conversations(VideoTextDataModule):
    """Clips with conversations, as `[{id, video, conversations: [{from, value}, ...]}, ...]`."""

    def __init__(self, train: str, val: str, test: str, media_root: str, **settings: Any) -> None:
        """Name the files.

        Args:
            train: conversations to learn from; JSON, or JSON lines.
            val: conversations whose answers are compared during training.
            test: conversations whose answers are compared at the end.
            media_root: folder that the records' `video` entries are relative to; no clip is read outside of it.
            settings: see VideoTextDataModule.
        """
        super().__init__(**settings)
        self.files = {"train": Path(train), "val": Path(val), "test": Path(test)}
        self.media_root = Path(media_root)

    def load_records(self, split: str) -> list[Record]:
        """Return the conversations of `split`; for evaluation, one record per answer."""
        records = load_llava_records(self.files[split], self.media_root)
        return records if split == "train" else single_questions(records)
