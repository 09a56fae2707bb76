"""The interface of a form, which is the format of a conversation about a clip in a file, and code that forms share."""

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
    """A record as written in its file.

    Attributes:
        id: identifier; None if the file has none.
        video: name of the clip in the file; None for a conversation without a clip.
        turns: questions and answers without tags, at least one.
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
            item: JSON object.
            where: description of its position, for errors.

        Raises:
            RecordError: the item is not of this form, or is about more than one clip.
        """

    def find(self, video: str, media: MediaRoot, where: str) -> Path | None:
        """Return the file of the clip that a record calls `video`, or None if it is missing.

        Raises:
            RecordError: the name leads out of the media folder.
        """
        return media.find(video, where)


def require_keys(item: dict[str, Any], keys: tuple[str, ...], where: str) -> None:
    """Check that an item has all `keys`.

    Raises:
        RecordError: a key is missing.
    """
    for key in keys:
        if key not in item:
            raise RecordError(f"{where}: has no {key!r}; its keys are {sorted(item)}")


def file_name(value: Any, key: str, where: str) -> str:
    """Return `value` if it can be the name of a clip.

    Raises:
        RecordError: the value is not a string, or is empty.
    """
    if not isinstance(value, str) or not value:
        raise RecordError(f"{where}: {key!r} is {kind(value)}; it must be the name of a file")
    return value


def record_id(item: dict[str, Any], where: str) -> str | None:
    """Return the `id` of an item, or None if it has none.

    Raises:
        RecordError: the id is neither a string nor a whole number.
    """
    value = item.get("id")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RecordError(f"{where}: 'id' is {kind(value)}; it must be a string or a whole number")
    return str(value)


def refuse_other_media(item: dict[str, Any], keys: tuple[str, ...], clip: str | None, where: str) -> None:
    """Check that a record has no media besides its clip, which has the key `clip`; None if it has no clip.

    Raises:
        RecordError: the record has another clip, a picture or sound.
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
    """The keys and words by which a form writes a conversation.

    Attributes:
        key: key of the list of turns.
        role_key: key of the speaker's role in a turn.
        text_key: key of the text in a turn.
        roles: names of the role that asks and of the role that answers.
        tag: placeholder of the clip, once, at the start or end of the first question; None without a clip.
    """

    key: str
    role_key: str
    text_key: str
    roles: tuple[str, str]
    tag: str | None = "<video>"

    def turns(self, messages: Any, where: str, first: int = 0) -> tuple[Turn, ...]:
        """Check the turns and return them without the tag.

        Args:
            messages: list of turns.
            where: description of the record's position, for errors.
            first: position of the first question; not 0 if there is a system message before it.

        Raises:
            RecordError: the turns are not alternating questions and answers, or the tag is not used as it must be.
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
        """Check that `messages` is a list with at least one turn.

        Raises:
            RecordError: `messages` is not a list, or is empty.
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
        """Return the first question without the tag and the line break beside it."""
        if self.tag is None:
            return question.strip()
        count = question.count(self.tag)
        if count != 1:
            problem = f"{self.tag} comes up {count} times" if count else f"there is no {self.tag}"
            raise RecordError(f"{place}: {problem}; the first question must hold it exactly once")
        text = question.strip()
        if not text.startswith(self.tag) and not text.endswith(self.tag):
            raise RecordError(f"{place}: {self.tag} stands amid the question; put it at the start or the end")
        return text.replace(self.tag, "").strip()


def pair_turns(texts: Sequence[str]) -> tuple[Turn, ...]:
    """Return alternating questions and answers as turns."""
    return tuple(Turn(question, answer) for question, answer in zip(texts[::2], texts[1::2], strict=True))


def refuse_tags(text: str, place: str, rule: str, allowed: str | None = None) -> None:
    """Check that a text has no tag but the `allowed` one.

    Raises:
        RecordError: the text has another tag; the message states `rule`.
    """
    for tag in _TAGS:
        if tag != allowed and tag in text:
            raise RecordError(f"{place}: holds {tag}, but {rule}")
