"""Loads a file of conversations about videos into a store.

Everything is checked when the file is loaded, before any training. A record that cannot be used is never dropped: the
error says where it is and what to change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.registry import members
from datamodules.records.json_items import JsonItems, kind
from datamodules.records.media_root import MediaRoot
from datamodules.records.published_forms import LLaVA
from datamodules.records.record import Record, RecordError
from datamodules.records.record_form import RecordForm, WrittenRecord
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
