"""Where the system prompt of a single record goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from datamodules.records.forms.base import WrittenRecord
from datamodules.records.json_items import kind
from datamodules.records.record_error import RecordError


def after_system_prompt(system: Any, record: WrittenRecord, key: str, where: str) -> WrittenRecord:
    """Return the record with `system` on a line above its first question.

    Args:
        system: the text; None or an empty one changes nothing.
        record: whose question follows.
        key: of the text, for the error.
        where: words for the place of the record.

    Raises:
        RecordError: it is no text.
    """
    if system is None or system == "":
        return record
    if not isinstance(system, str):
        raise RecordError(f"{where}: {key!r} is {kind(system)}; it must be a string")
    first, *others = record.turns
    return replace(record, turns=(replace(first, question=f"{system.strip()}\n{first.question}"), *others))
