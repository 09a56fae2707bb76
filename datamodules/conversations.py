"""Training on conversations about real clips, of one file per split or mixed from several sources."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from datamodules.records import LLaVA, Record, RecordForm, RecordStore, RecordTable, Source, mix
from datamodules.records.media_root import located
from datamodules.video_text import VideoTextDataModule


def single_questions(records: RecordTable) -> RecordTable:
    """Return one record for each answer, with the turns before it as context, as needed for generation."""

    def questions() -> Iterator[Record]:
        for record in records:
            for number in range(len(record.turns)):
                yield replace(record, id=f"{record.id}/{number}", turns=record.turns[: number + 1])

    return RecordTable(RecordStore(questions()))


class Conversations(VideoTextDataModule):
    """Clips with conversations, as `[{id, video, conversations: [{from, value}, ...]}, ...]` or in another form."""

    def __init__(
        self,
        train: str,
        val: str,
        test: str,
        media_root: str,
        form: Callable[[], RecordForm] = LLaVA,
        **settings: Any,
    ) -> None:
        """Set the files.

        Args:
            train: path of the training conversations: a JSON list, or JSON lines (`.jsonl`).
            val: path of the conversations whose answers are scored in validation.
            test: path of the conversations whose answers are scored in the test.
            media_root: folder of the clips; no clip outside it is read.
            form: format of the records in the files.
            settings: settings of every data module, see VideoTextDataModule.
        """
        super().__init__(**settings)
        files = {"train": train, "val": val, "test": test}
        self.media_root = located(media_root, "data.init_args.media_root")
        self.sources = {split: [Source(file, media_root, form)] for split, file in files.items()}

    def question_files(self, split: str) -> Sequence[Path]:
        """Return the file of `split`."""
        return [located(source.file) for source in self.sources[split]]

    def load_records(self, split: str) -> RecordTable:
        """Return the conversations of `split`; for evaluation, one record per answer."""
        records = mix(self.sources[split])
        return records if split == "train" else single_questions(records)


class MixedConversations(VideoTextDataModule):
    """Clips with conversations of several sources, such as Valley and Video-ChatGPT.

    It is a separate class from `Conversations`, because the parser reads any file that is named where a list of sources
    is allowed, and training files are large.
    """

    def __init__(
        self, train: list[Source], val: list[Source], test: list[Source], media_root: str | None = None, **settings: Any
    ) -> None:
        """Set the sources.

        Args:
            train: sources of the training conversations.
            val: sources of the conversations whose answers are scored in validation.
            test: sources of the conversations whose answers are scored in the test.
            media_root: folder of the clips for sources without their own `media_root`; no clip outside it is read.
            settings: settings of every data module, see VideoTextDataModule.

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
