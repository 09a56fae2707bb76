"""The contract of a form, how a file writes down a conversation about a clip, and what forms have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datamodules.records.json_items import kind
from datamodules.records.media_root import MediaRoot
from datamodules.records.record import RecordError, Turn

_TAGS = ("<video>", "<image>", "<audio>")


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
    """Reads one item of a file of conversations: the family `form`."""

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


def require_keys(item: dict[str, Any], keys: tuple[str, ...], where: str) -> None:
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


def record_id(item: dict[str, Any], where: str) -> str | None:
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


@dataclass(frozen=True)
class Dialogue:
    """How a form writes down who says what.

    Attributes:
        key: of the list of turns.
        role_key: of who speaks, in a turn.
        text_key: of what is said.
        roles: names of who asks and of who answers.
        tag: stands for the clip, once, at the start or end of the first question; None where there is no clip.
    """

    key: str
    role_key: str
    text_key: str
    roles: tuple[str, str]
    tag: str | None = "<video>"

    def turns(self, messages: Any, where: str, first: int = 0) -> tuple[Turn, ...]:
        """Check the turns and return them without the tag.

        Args:
            messages: the list of turns.
            where: words for the place of the record.
            first: position of the first question, where something else comes before.

        Raises:
            RecordError: they are not questions and answers, or not about one clip, or none.
        """
        self.check_list(messages, where)
        texts: list[str] = []
        for index, turn in enumerate(messages[first:]):
            place = f"{where}, {self.key}[{index + first}]"
            expected = self.roles[index % 2]
            text = self._text(turn, expected, place)
            if index and self.tag is not None and self.tag in text:
                raise RecordError(f"{place}: holds {self.tag}; the tag belongs in the first question only")
            rule = "the record names no clip" if self.tag is None else f"it is about one clip, tagged {self.tag}"
            refuse_tags(text, place, rule, self.tag)
            if index % 2 and not text.strip():
                raise RecordError(f"{place}: the answer is empty; write one or take the question out")
            texts.append(text)
        if len(texts) % 2 or not texts:
            raise RecordError(
                f"{where}: the last question has no answer; add a turn from {self.roles[1]!r} or take the question out"
            )
        texts[0] = self._without_tag(texts[0], f"{where}, {self.key}[{first}]")
        return pair_turns(texts)

    def check_list(self, messages: Any, where: str) -> None:
        """Make sure that there are turns.

        Raises:
            RecordError: there are none, or something else is there.
        """
        if not isinstance(messages, list):
            raise RecordError(f"{where}: {self.key!r} is {kind(messages)}; it must be a list of turns")
        if not messages:
            raise RecordError(f"{where}: {self.key!r} is empty; give at least one question and its answer")

    def _text(self, turn: Any, expected: str, place: str) -> str:
        if not isinstance(turn, dict):
            raise RecordError(
                f"{place}: is {kind(turn)}; a turn must be an object with {self.role_key} and {self.text_key}"
            )
        for key in (self.role_key, self.text_key):
            if not isinstance(turn.get(key), str):
                raise RecordError(f"{place}: {key!r} is {kind(turn.get(key))}; it must be a string")
        role, text = turn[self.role_key], turn[self.text_key]
        if role != expected:
            raise RecordError(f"{place}: is from {role!r}; turns must alternate, here {expected!r} is due")
        assert isinstance(text, str)
        return text

    def _without_tag(self, question: str, place: str) -> str:
        """Take the tag and the line break beside it out of the first question."""
        if self.tag is None:
            return question.strip()
        count = question.count(self.tag)
        if count != 1:
            found = f"{self.tag} comes up {count} times" if count else f"there is no {self.tag}"
            raise RecordError(f"{place}: {found}; the first question must hold it exactly once")
        text = question.strip()
        if not text.startswith(self.tag) and not text.endswith(self.tag):
            raise RecordError(f"{place}: {self.tag} stands amid the question; put it at the start or the end")
        return text.replace(self.tag, "").strip()


def pair_turns(texts: Sequence[str]) -> tuple[Turn, ...]:
    """Return questions and answers, which alternate, as turns."""
    return tuple(Turn(question, answer) for question, answer in zip(texts[::2], texts[1::2], strict=True))


def refuse_tags(text: str, place: str, rule: str, allowed: str | None = None) -> None:
    """Make sure that no tag but the `allowed` one is in a text.

    Raises:
        RecordError: there is one, which is against `rule`.
    """
    for tag in _TAGS:
        if tag != allowed and tag in text:
            raise RecordError(f"{place}: holds {tag}, but {rule}")
