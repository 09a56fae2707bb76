"""The record formats of published conversation files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from datamodules.records.json_items import kind
from datamodules.records.media_root import MediaRoot
from datamodules.records.record import RecordError
from datamodules.records.record_form import (
    Dialogue,
    RecordForm,
    WrittenRecord,
    file_name,
    pair_turns,
    record_id,
    refuse_other_media,
    refuse_tags,
    require_keys,
)


class LLaVA(RecordForm):
    """`{id?, video, conversations: [{from: human|gpt, value}, ...]}`.

    The first question has the tag `<video>` at its start or end, with or without a line break beside it. The tag is
    removed, since the clip always precedes the first question. A record with `image` and the tag `<image>` instead is
    about a picture, which is a clip of one frame. A record without a tag whose key is missing or `null` is a
    conversation without a clip.
    """

    dialogue = Dialogue("conversations", "from", "value", ("human", "gpt"))

    def read(self, item: dict[str, Any], where: str) -> WrittenRecord:
        """Read one item."""
        require_keys(item, ("conversations",), where)
        key = next((key for key in ("video", "image") if item.get(key) is not None), None)
        tags = {"video": self.dialogue.tag, "image": "<image>", None: None}
        dialogue = replace(self.dialogue, tag=tags[key])
        file = None if key is None else file_name(item[key], key, where)
        others = tuple(other for other in ("image", "images", "videos", "audio") if other != key)
        refuse_other_media(item, others, key, where)
        if item.get("system_prompt"):
            raise RecordError(f"{where}: has a 'system_prompt', which this form does not know; take it out")
        return WrittenRecord(record_id(item, where), file, dialogue.turns(item["conversations"], where))


class VideoChatFlash(LLaVA):
    """LLaVA's form, but with the tag `<image>` in place of the video."""

    dialogue = replace(LLaVA.dialogue, tag="<image>")


class VideoChatGPT(RecordForm):
    """`{q, a, video_id}`: a question without a tag, its answer, and the name of the clip without its extension."""

    def read(self, item: dict[str, Any], where: str) -> WrittenRecord:
        """Read one item."""
        require_keys(item, ("q", "a", "video_id"), where)
        for key in ("q", "a"):
            if not isinstance(item[key], str):
                raise RecordError(f"{where}: {key!r} is {kind(item[key])}; it must be a string")
            refuse_tags(item[key], f"{where}, {key!r}", "this form has no tags")
        if not item["a"].strip():
            raise RecordError(f"{where}: the answer is empty; write one or take the question out")
        video = file_name(item["video_id"], "video_id", where)
        return WrittenRecord(record_id(item, where), video, pair_turns([item["q"].strip(), item["a"]]))

    def find(self, video: str, media: MediaRoot, where: str) -> Path | None:
        """Look up the clip by its name with any video extension."""
        return media.find_by_stem(video, where)


def after_system_prompt(system: Any, record: WrittenRecord, key: str, where: str) -> WrittenRecord:
    """Return the record with a system prompt on a line above its first question.

    Args:
        system: system prompt; None or an empty text changes nothing.
        record: record without the system prompt.
        key: key of the system prompt, for errors.
        where: description of the record's position, for errors.

    Raises:
        RecordError: the system prompt is not a string.
    """
    if system is None or system == "":
        return record
    if not isinstance(system, str):
        raise RecordError(f"{where}: {key!r} is {kind(system)}; it must be a string")
    first, *others = record.turns
    return replace(record, turns=(replace(first, question=f"{system.strip()}\n{first.question}"), *others))


class LmmsFinetune(RecordForm):
    """LLaVA's form with an optional `system_prompt`, which is put on a line above the first question.

    It does not replace the system text of the language model's prompt, which is the same for all records.
    """

    def read(self, item: dict[str, Any], where: str) -> WrittenRecord:
        """Read one item."""
        rest = {key: value for key, value in item.items() if key != "system_prompt"}
        return after_system_prompt(item.get("system_prompt"), LLaVA().read(rest, where), "system_prompt", where)


class LlamaFactory(RecordForm):
    """`{messages: [{role: user|assistant, content}, ...], videos: [one file]}`, with the tag as in LLaVA's form.

    A record whose `videos` are missing, `null` or empty is a conversation without a clip and has no tag. A first
    message of the role `system` is put on a line above the first question.
    """

    dialogue = Dialogue("messages", "role", "content", ("user", "assistant"))

    def read(self, item: dict[str, Any], where: str) -> WrittenRecord:
        """Read one item."""
        require_keys(item, ("messages",), where)
        videos, messages = item.get("videos"), item["messages"]
        videos = [] if videos is None else videos
        if not isinstance(videos, list):
            raise RecordError(f"{where}: 'videos' is {kind(videos)}; it must be a list with the name of one file")
        if len(videos) > 1:
            raise RecordError(f"{where}: 'videos' names {len(videos)} files; a record is about one video at most")
        refuse_other_media(item, ("images", "audios"), "videos" if videos else None, where)
        dialogue = self.dialogue if videos else replace(self.dialogue, tag=None)
        dialogue.check_list(messages, where)
        first = messages[0]
        system = first if isinstance(first, dict) and first.get("role") == "system" else {}
        turns = dialogue.turns(messages, where, first=1 if system else 0)
        file = file_name(videos[0], "videos", where) if videos else None
        record = WrittenRecord(record_id(item, where), file, turns)
        return after_system_prompt(system.get("content"), record, "messages[0]", where)
