"""The records of large training sets, stored in a few buffers and turned into objects on access.

702K conversations take gigabytes as Python objects, and each loader process would end up with its own copy: reading an
object changes its reference count and so copies its memory page. A buffer has no reference counts.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import overload

import numpy as np
from jaxtyping import Int64

from datamodules.answer_kind import FREE_ANSWER, AnswerKind
from datamodules.records.record import Record, Turn

_NO_CLIP = -1


class RecordStore:
    """An append-only store of records; each clip is stored once, however many records are about it."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        """Start with `records`."""
        self._texts = PackedTexts()  # for each record: id, family, question, answer, question, ...
        self._first = array("q", [0])  # for each record, the index of its first text; then the end
        self._clips = PackedTexts()
        self._clip_of = array("q")  # for each record, the number of its clip or _NO_CLIP
        self._kinds: dict[int, AnswerKind] = {}  # of the few records whose answers are not free
        self._clip_numbers: dict[str, int] = {}
        # The position of a record is stored as a text that all records of its file share, and a number.
        self._files: list[str] = []
        self._file_of = array("q")
        self._number = array("q")
        for record in records:
            self.append(record)

    def append(self, record: Record) -> None:
        """Add a record."""
        if record.answer_kind is not FREE_ANSWER:
            self._kinds[len(self)] = record.answer_kind
        self._clip_of.append(_NO_CLIP if record.video is None else self._clip(str(record.video)))
        self._texts.append(record.id)
        self._texts.append(record.family)
        for turn in record.turns:
            self._texts.append(turn.question)
            self._texts.append(turn.answer)
        self._first.append(len(self._texts))
        self._append_place(record.where)

    def _append_place(self, where: str) -> None:
        file, _, number = where.rpartition(" ")
        if not number.isdecimal() or str(int(number)) != number:
            file, number = where, "-1"
        if not self._files or self._files[-1] != file:
            self._files.append(file)
        self._file_of.append(len(self._files) - 1)
        self._number.append(int(number))

    def _place(self, row: int) -> str:
        file, number = self._files[self._file_of[row]], self._number[row]
        return file if number < 0 else f"{file} {number}"

    def _clip(self, video: str) -> int:
        """Return the number of a clip; a new clip is added."""
        clip = self._clip_numbers.setdefault(video, len(self._clips))
        if clip == len(self._clips):
            self._clips.append(video)
        return clip

    def close(self) -> None:
        """Free the memory that only appending needs."""
        self._clip_numbers = {}

    def clips(self) -> Int64[np.ndarray, "records"]:
        """Return the number of each record's clip; -1 for a record without a clip."""
        return np.array(self._clip_of, dtype=np.int64)

    def clip(self, number: int) -> Path:
        """Return the path of a clip."""
        return Path(self._clips[number])

    def text_bytes(self) -> Int64[np.ndarray, "records"]:
        """Return the size of each record's texts in bytes, which tells long records from short ones."""
        return np.diff(self._texts.ends()[np.array(self._first)])

    def turn_counts(self) -> Int64[np.ndarray, "records"]:
        """Return the number of turns of each record."""
        return np.diff(np.array(self._first)) // 2 - 1

    def __len__(self) -> int:
        return len(self._clip_of)

    def __getitem__(self, row: int) -> Record:
        texts = [self._texts[number] for number in range(self._first[row], self._first[row + 1])]
        turns = tuple(Turn(question, answer) for question, answer in zip(texts[2::2], texts[3::2], strict=True))
        clip = self._clip_of[row]
        video = None if clip == _NO_CLIP else self.clip(clip)
        return Record(texts[0], video, turns, texts[1], self._kinds.get(row, FREE_ANSWER), self._place(row))


class RecordTable(Sequence[Record]):
    """Records of a store in any order, possibly with repetitions.

    The second copy of record `x` has the id `x#2`, and so on, so that ids stay unique.
    """

    def __init__(self, store: RecordStore, rows: Int64[np.ndarray, "records"] | None = None) -> None:
        """Select records of a store, to which nothing may be added afterwards.

        Args:
            store: store of the records.
            rows: positions of the selected records in the store; None selects all.
        """
        store.close()
        self._store = store
        self._rows = np.arange(len(store)) if rows is None else rows
        self._copies = _occurrences(self._rows)

    def select(self, indices: Int64[np.ndarray, "selected"]) -> RecordTable:
        """Return the records at these positions; no record is copied."""
        return RecordTable(self._store, self._rows[indices])

    def clip_count(self) -> int:
        """Return the number of different clips."""
        return len(self.clips()[0])

    def clips(self) -> tuple[list[Path], Int64[np.ndarray, "records"]]:
        """Return the different clips, and for each record the position of its clip among them; -1 without a clip."""
        numbers, clip_of = np.unique(self._store.clips()[self._rows], return_inverse=True)
        none = int(len(numbers) > 0 and numbers[0] == _NO_CLIP)
        return [self._store.clip(int(number)) for number in numbers[none:]], clip_of - none

    def text_bytes(self) -> Int64[np.ndarray, "records"]:
        """Return the size of each record's texts in bytes."""
        return self._store.text_bytes()[self._rows]

    def turn_counts(self) -> Int64[np.ndarray, "records"]:
        """Return the number of turns of each record."""
        return self._store.turn_counts()[self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> RecordTable: ...

    def __getitem__(self, index: int | slice) -> Record | RecordTable:
        if isinstance(index, slice):
            return self.select(np.arange(len(self))[index])
        record, copy = self._store[int(self._rows[index])], int(self._copies[index])
        return replace(record, id=f"{record.id}#{copy + 1}") if copy else record


def _occurrences(rows: Int64[np.ndarray, "records"]) -> Int64[np.ndarray, "records"]:
    """Return for each element the number of equal elements before it."""
    order = np.argsort(rows, kind="stable")
    positions = np.arange(len(rows))
    first_of_run = np.diff(rows[order], prepend=-1) != 0
    counts = np.empty_like(positions)
    counts[order] = positions - np.maximum.accumulate(np.where(first_of_run, positions, 0))
    return counts


class PackedTexts:
    """Texts concatenated as UTF-8, with the position where each ends."""

    def __init__(self) -> None:
        """Create an empty list of texts."""
        self._bytes = bytearray()
        self._ends = array("q", [0])

    def append(self, text: str) -> None:
        """Add a text; it may be a file name that is not UTF-8."""
        self._bytes += text.encode(errors="surrogateescape")
        self._ends.append(len(self._bytes))

    def ends(self) -> Int64[np.ndarray, "texts_and_one"]:
        """Return 0 and the position where each text ends, in bytes."""
        return np.array(self._ends, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> str:
        return self._bytes[self._ends[index] : self._ends[index + 1]].decode(errors="surrogateescape")
