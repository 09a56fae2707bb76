"""Loads files of conversations about videos, one or several with a share each.

Everything is checked when a file is loaded, before any training. A record that cannot be used is never dropped: the
error says where it is and what to change.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from components.registry import members
from datamodules.records.json_items import JsonItems, kind
from datamodules.records.media_root import MediaRoot, located
from datamodules.records.published_forms import LLaVA
from datamodules.records.record import Record, RecordError
from datamodules.records.record_form import RecordForm, WrittenRecord
from datamodules.records.selection import AllRecords, RecordSelection, random_indices
from datamodules.records.table import RecordStore, RecordTable

_NAMED = 5  # number of missing files that an error names
_DEFAULT_FORM = LLaVA()


def load_records(path: Path, media_root: Path, form: RecordForm = _DEFAULT_FORM) -> RecordTable:
    """Load a JSON list or JSON lines (`.jsonl`); see `add_records`."""
    store = RecordStore()
    add_records(store, path, media_root, form)
    return RecordTable(store)


def add_records(store: RecordStore, path: Path, media_root: Path, form: RecordForm, prefix: str = "") -> None:
    """Add the records of a file to a store. A record without an `id` gets one from its position.

    Args:
        store: store that the records are added to.
        path: path of a JSON list or of JSON lines (`.jsonl`).
        media_root: folder of the clips; nothing outside it is read, not even through a link.
        form: format of the records in the file.
        prefix: text before every id.

    Raises:
        RecordError: the file, one of its records or one of its videos cannot be used.
    """
    media = MediaRoot(media_root)
    items = JsonItems(path)
    numbers: dict[str, int] = {}
    missing: list[str] = []
    for position, (number, item) in enumerate(items):
        where = items.where(number)
        written = _read(item, where, form)
        identity = f"record-{position}" if written.id is None else written.id
        taken = numbers.setdefault(identity, number)
        if taken != number:
            raise RecordError(f"{where}: id {identity!r} is taken by {items.where(taken)}; ids must be unique")
        video = None if written.video is None else form.find(written.video, media, where)
        if written.video is not None and video is None:
            missing.append(written.video)
        else:
            store.append(Record(prefix + identity, video, written.turns, where=where))
    if missing:
        files = list(dict.fromkeys(missing))
        names = ", ".join(files[:_NAMED]) + (", ..." if len(files) > _NAMED else "")
        raise RecordError(
            f"{path}: {len(files)} video files are missing in {media_root}, of {len(missing)} records: {names};"
            " add the files or take these records out"
        )


def _read(item: Any, where: str, form: RecordForm) -> WrittenRecord:
    if not isinstance(item, dict):
        raise RecordError(f"{where}: is {kind(item)}; a record must be an object")
    try:
        return form.read(item, where)
    except RecordError as error:
        right = next((name for name, other in members(RecordForm).items() if _reads(other(), item)), None)
        hint = f". The record is of the form {right}: set `form: {right}`" if right else ""
        raise RecordError(f"{error}{hint}") from error


def _reads(form: RecordForm, item: dict[str, Any]) -> bool:
    try:
        form.read(item, "")
    except RecordError:
        return False
    return True


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A file of conversations, and how much of it is used.

    Attributes:
        file: path of a JSON list or of JSON lines (`.jsonl`).
        media_root: folder of its clips; None takes that of the data module.
        form: format of the records in the file.
        take: selection of the records that are used.
        repeat: number of times that each of these is used per epoch; a fraction repeats a random part of them once more
            (2.5) or uses only a part (0.5), the same part in every epoch and run.
        repeat_seed: seed of that random choice.
        name: prefix of the record ids if there are several sources; None takes the name of the file.
    """

    file: str
    media_root: str | None = None
    form: Callable[[], RecordForm] = LLaVA
    take: Callable[[], RecordSelection] = AllRecords
    repeat: float = 1.0
    repeat_seed: int = 0
    name: str | None = None

    @property
    def label(self) -> str:
        """Name of the source in ids and in the log."""
        return self.name or Path(self.file).stem

    def indices(self, count: int) -> Int64[np.ndarray, "records"]:
        """Return the indices of the used records among the `count` of the file, repeated as often as each is used.

        Raises:
            RecordError: the file has too few records, or none is left.
        """
        try:
            taken = self.take().indices(count)
        except ValueError as error:
            raise RecordError(f"{self.file}: {error}") from error
        whole, total = int(self.repeat), round(self.repeat * len(taken))
        if not total:
            raise RecordError(f"{self.file}: nothing is left of {len(taken)} records repeated {self.repeat} times")
        part = random_indices(len(taken), total - whole * len(taken), self.repeat_seed)
        return np.concatenate([np.tile(taken, whole), taken[part]])


def mix(sources: Sequence[Source], media_root: str | None = None) -> RecordTable:
    """Load several sources into one table, one after the other.

    With several sources, ids start with the name of the source (`valley/1018946080`), so that they are unique.

    Args:
        sources: sources to load, at least one.
        media_root: media folder of the sources that do not set their own.

    Raises:
        RecordError: a file or its settings cannot be used, or two sources have the same name.
    """
    labels = [source.label for source in sources]
    folders = [_folder(source, media_root) for source in sources]
    for source, label in zip(sources, labels, strict=True):
        if not 0 < source.repeat < math.inf:
            raise RecordError(f"repeat of the source {label} is {source.repeat}; it must be above 0")
        if labels.count(label) > 1:
            raise RecordError(f"two sources are called {label!r}; give each a `name` of its own")
    store, rows = RecordStore(), []
    for source, label, folder in zip(sources, labels, folders, strict=True):
        start, prefix = len(store), f"{label}/" if len(sources) > 1 else ""
        add_records(store, located(source.file, "the file of a source"), folder, source.form(), prefix)
        count = len(store) - start
        if not count:
            raise RecordError(f"{source.file}: has no records")
        chosen = source.indices(count)
        rows.append(start + chosen)
        log.info("%s: %d samples from %d of %d records", label, len(chosen), len(np.unique(chosen)), count)
        without = int((store.clips()[start + chosen] < 0).sum())
        if without:
            log.info("%s: %d of these samples are text alone, without a clip", label, without)
    return RecordTable(store, np.concatenate(rows))


def _folder(source: Source, media_root: str | None) -> Path:
    folder = media_root if source.media_root is None else source.media_root
    if folder is None:
        raise RecordError(f"{source.file}: no media_root is set; set data.init_args.media_root or the source's own")
    return located(folder, "media_root")
