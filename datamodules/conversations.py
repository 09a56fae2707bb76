"""Training on conversations about real clips: files of one form in one media folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from datamodules.records import LLaVA, Record, RecordForm, RecordStore, RecordTable, Source, mix
from datamodules.records.media_root import located
from datamodules.video_text import VideoTextDataModule


def single_questions(records: RecordTable) -> RecordTable:
    """Return one record per answer, with the turns before it as context: what generation is asked."""

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
        """Name the files.

        Args:
            train: conversations to learn from; JSON, or JSON lines.
            val: conversations whose answers are compared during training.
            test: conversations whose answers are compared at the end.
            media_root: folder that the records' clips lie in; no clip is read outside of it.
            form: how the files write down a record.
            settings: see VideoTextDataModule.
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
