"""Training on conversations of several sources: each a file of its own form and folder, with a share of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datamodules.conversations import single_questions
from datamodules.records import RecordTable, Source, mix
from datamodules.records.media_root import located
from datamodules.video_text import VideoTextDataModule


class MixedConversations(VideoTextDataModule):
    """Clips with conversations of several sources, such as Valley and Video-ChatGPT.

    Not one class with `Conversations`, because the parser would read any file that is named where a list of sources is
    allowed, and the files of a training are large.
    """

    def __init__(
        self, train: list[Source], val: list[Source], test: list[Source], media_root: str | None = None, **settings: Any
    ) -> None:
        """Name the sources.

        Args:
            train: conversations to learn from.
            val: conversations whose answers are compared during training.
            test: conversations whose answers are compared at the end.
            media_root: folder of the clips of those sources that name none; no clip is read outside of it.
            settings: see VideoTextDataModule.

        Raises:
            ValueError: a split has no source.
        """
        super().__init__(**settings)
        self.sources = {"train": train, "val": val, "test": test}
        for split, sources in self.sources.items():
            if not sources:
                raise ValueError(f"data.init_args.{split} is an empty list; name at least one source")
        self.default_root = media_root
        roots = {source.media_root or media_root for sources in self.sources.values() for source in sources}
        self.media_root = Path(os.path.commonpath([located(root or "/").absolute() for root in roots]))

    def question_files(self, split: str) -> Sequence[Path]:
        """Return the files of the sources of `split`."""
        return [located(source.file) for source in self.sources[split]]

    def load_records(self, split: str) -> RecordTable:
        """Return the conversations of `split`; for evaluation, one record per answer."""
        records = mix(self.sources[split], self.default_root)
        return records if split == "train" else single_questions(records)
