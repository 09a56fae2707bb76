"""Several files of conversations as one training set, each with a share of its own."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from datamodules.records.loading import add_records
from datamodules.records.media_root import located
from datamodules.records.published_forms import LLaVA
from datamodules.records.record import RecordError
from datamodules.records.record_form import RecordForm
from datamodules.records.selection import AllRecords, RecordSelection, random_indices
from datamodules.records.table import RecordStore, RecordTable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A file of conversations, and how much of it is used.

    Attributes:
        file: JSON list, or JSON lines (`.jsonl`).
        media_root: folder that its clips lie in; that of the data module if None.
        form: how the file writes down a record.
        take: which of its records are used.
        repeat: how many times each of these comes up in an epoch; with a fraction, a random part of them comes up once
            more (2.5), or at all (0.5), the same part in every epoch and run.
        repeat_seed: of that choice.
        name: goes before the ids of its records where there are several sources; the file's name if None.
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
        """What the source is called in ids and in the log."""
        return self.name or Path(self.file).stem

    def indices(self, count: int) -> Int64[np.ndarray, "records"]:
        """Return which of the file's `count` records are used, as often as each is.

        Raises:
            RecordError: there are too few records, or none is left.
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
    """Load sources, one after the other.

    The ids of several sources start with the source's name (`valley/1018946080`), so that they are unique.

    Args:
        sources: at least one.
        media_root: for those that name none.

    Raises:
        RecordError: a file cannot be used, or its settings, or two sources have the same name.
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
