"""Training on conversations about real clips: files of one form, with clips in one media folder."""

from __future__ import annotations

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
