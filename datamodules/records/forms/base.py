"""The contract of a form: how a file writes down a conversation about a clip."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datamodules.records.json_items import kind
from datamodules.records.media_root import MediaRoot
from datamodules.records.record import Turn
from datamodules.records.record_error import RecordError


@dataclass(frozen=True)
class WrittenRecord:
    """A record as its file has it.

    Attributes:
        id: None where the file gives none.
        video: what the file calls the clip; None where there is none.
        turns: without tags; at least one.
    """

    id: str | None
    video: str | None
    turns: tuple[Turn, ...]


class RecordForm(ABC):
    """The family `form`. A member says how an item of a file of conversations is to be read."""

    @abstractmethod
    def read(self, item: dict[str, Any], where: str) -> WrittenRecord:
        """Read one item.

        Args:
            item: a JSON object.
            where: words for its place, for errors.

        Raises:
            RecordError: it is not of this form, or about more than one clip.
        """

    def find(self, video: str, media: MediaRoot, where: str) -> Path | None:
        """Return the file that a record calls `video`, or None where it is missing.

        Raises:
            RecordError: the name leads out of the media folder.
        """
        return media.find(video, where)


def needed(item: dict[str, Any], keys: tuple[str, ...], where: str) -> None:
    """Make sure that an item has all `keys`.

    Raises:
        RecordError: one is missing.
    """
    for key in keys:
        if key not in item:
            raise RecordError(f"{where}: has no {key!r}; its keys are {sorted(item)}")


def file_name(value: Any, key: str, where: str) -> str:
    """Return what should be the name of a clip.

    Raises:
        RecordError: it is none.
    """
    if not isinstance(value, str) or not value:
        raise RecordError(f"{where}: {key!r} is {kind(value)}; it must be the name of a file")
    return value


def identity(item: dict[str, Any], where: str) -> str | None:
    """Return an item's `id`, or None where it has none.

    Raises:
        RecordError: it is neither a string nor a whole number.
    """
    value = item.get("id")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RecordError(f"{where}: 'id' is {kind(value)}; it must be a string or a whole number")
    return str(value)


def refuse_other_media(item: dict[str, Any], keys: tuple[str, ...], clip: str | None, where: str) -> None:
    """Make sure that a record is about nothing beside its clip, which has the key `clip`, or about none.

    Raises:
        RecordError: it has another one, or sound.
    """
    for key in keys:
        if item.get(key) and clip is None:
            raise RecordError(f"{where}: has {key!r}, which this form does not read; a clip is named by 'video'")
        if item.get(key):
            raise RecordError(
                f"{where}: has {clip!r} and {key!r} too; a record is about one clip and nothing else: take {key!r} and "
                "the turns about it out, or the record"
            )
