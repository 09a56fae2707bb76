"""Reads conversations about videos in the form of LLaVA, which Video-LLaVA, Valley and most training sets use.

Everything is checked when the file is loaded, before any training: a record that could not be used as it stands is an
error that says where it is and what to change, never a record that is dropped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datamodules.records.media_root import MediaRoot
from datamodules.records.record import Record, Turn
from datamodules.records.record_error import RecordError

TAG = "<video>"
_OTHER_TAGS = ("<image>", "<audio>")
_ROLES = ("human", "gpt")
_NAMED = 5  # how many missing files an error names


def load_llava_records(path: Path, media_root: Path) -> list[Record]:
    """Load `{id?, video, conversations: [{from: human|gpt, value}, ...]}` from a JSON list or JSON lines (`.jsonl`).

    The first question holds the tag `<video>` at its start or end; it is taken out, since the clip always precedes the
    first question. A record without `id` gets one from its position.

    Args:
        path: the file.
        media_root: folder that `video` is relative to; nothing outside it is read, not even through a link.

    Raises:
        RecordError: the file, one of its records or one of its videos cannot be used.
    """
    media = MediaRoot(media_root)
    records: list[Record] = []
    positions: dict[str, str] = {}
    missing: list[str] = []
    for number, (where, item) in enumerate(_items(path)):
        record = _record(item, where, number, media)
        if record.id in positions:
            raise RecordError(f"{where}: id {record.id!r} is taken by {positions[record.id]}; ids must be unique")
        positions[record.id] = where
        records.append(record)
        if not media.has(item["video"]):
            missing.append(item["video"])
    if missing:
        files = list(dict.fromkeys(missing))
        names = ", ".join(files[:_NAMED]) + (", ..." if len(files) > _NAMED else "")
        raise RecordError(
            f"{path}: {len(files)} video files are missing in {media_root}, of {len(missing)} records: {names};"
            " add the files or take these records out"
        )
    return records


def _items(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield each item with words for where it is."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    if path.suffix == ".jsonl":
        for line, content in enumerate(text.split("\n"), start=1):
            if content.strip():
                yield f"{path}, line {line}", _parse(content, path, line)
        return
    items = _parse(text, path, 1)
    if not isinstance(items, list):
        raise RecordError(f"{path}: holds {_kind(items)}; it must be a list of records: [{{...}}, ...]")
    for index, item in enumerate(items):
        yield f"{path}, record {index}", item


def _parse(text: str, path: Path, first_line: int) -> Any:
    try:
        items = json.loads(text)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(items, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise RecordError(f"{path}, line {line}, column {error.colno}: not valid JSON: {error.msg}") from error
    except UnicodeEncodeError as error:
        raise RecordError(f"{path}, from line {first_line}: half a surrogate pair (\\ud...) is no character") from error
    except (RecursionError, ValueError) as error:
        raise RecordError(f"{path}, from line {first_line}: cannot be records: {error}") from error
    return items


def _record(item: Any, where: str, number: int, media: MediaRoot) -> Record:
    if not isinstance(item, dict):
        raise RecordError(f"{where}: is {_kind(item)}; a record must be an object with video and conversations")
    for key in ("video", "conversations"):
        if key not in item:
            raise RecordError(f"{where}: has no {key!r}; its keys are {sorted(item)}")
    if not isinstance(item["video"], str) or not item["video"]:
        raise RecordError(f"{where}: 'video' is {_kind(item['video'])}; it must be the name of a file")
    identity = item.get("id", f"record-{number}")
    if isinstance(identity, bool) or not isinstance(identity, str | int):
        raise RecordError(f"{where}: 'id' is {_kind(identity)}; it must be a string or a whole number")
    return Record(
        id=str(identity),
        video=media.find(item["video"], where),
        turns=_turns(item["conversations"], where),
    )


def _turns(conversations: Any, where: str) -> tuple[Turn, ...]:
    if not isinstance(conversations, list):
        raise RecordError(f"{where}: 'conversations' is {_kind(conversations)}; it must be a list of turns")
    if not conversations:
        raise RecordError(f"{where}: 'conversations' is empty; give at least one question and its answer")
    texts: list[str] = []
    for index, turn in enumerate(conversations):
        place = f"{where}, conversations[{index}]"
        if not isinstance(turn, dict):
            raise RecordError(f"{place}: is {_kind(turn)}; a turn must be an object with from and value")
        for key in ("from", "value"):
            if not isinstance(turn.get(key), str):
                raise RecordError(f"{place}: {key!r} is {_kind(turn.get(key))}; it must be a string")
        expected = _ROLES[index % 2]
        if turn["from"] != expected:
            raise RecordError(f"{place}: is from {turn['from']!r}; turns must alternate, here {expected!r} is due")
        if index and TAG in turn["value"]:
            raise RecordError(f"{place}: holds {TAG}; the tag belongs in the first question only")
        for tag in _OTHER_TAGS:
            if tag in turn["value"]:
                raise RecordError(f"{place}: holds {tag}; a record is about one video, tagged {TAG}, and nothing else")
        if expected == "gpt" and not turn["value"].strip():
            raise RecordError(f"{place}: the answer is empty; write one or take the question out")
        texts.append(turn["value"])
    if len(texts) % 2:
        raise RecordError(f"{where}: the last question has no answer; add a 'gpt' turn or take the question out")
    texts[0] = _without_tag(texts[0], f"{where}, conversations[0]")
    return tuple(Turn(question, answer) for question, answer in zip(texts[::2], texts[1::2], strict=True))


def _without_tag(question: str, place: str) -> str:
    """Take the tag and the line break beside it out of the first question."""
    count = question.count(TAG)
    if count != 1:
        found = f"{TAG} comes up {count} times" if count else f"there is no {TAG}"
        raise RecordError(f"{place}: {found}; the first question must hold it exactly once")
    text = question.strip()
    if not text.startswith(TAG) and not text.endswith(TAG):
        raise RecordError(f"{place}: {TAG} stands amid the question; put it at the start or the end")
    return text.replace(TAG, "").strip()


def _kind(value: object) -> str:
    """Name a JSON value in an error."""
    if value is None:
        return "missing or null"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return f"the value {value!r:.60}"
