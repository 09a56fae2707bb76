"""The form of LLaMA-Factory's demonstration data: messages with a list of videos."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from datamodules.records.forms.base import RecordForm, WrittenRecord, file_name, identity, needed, refuse_other_media
from datamodules.records.forms.dialogue import Dialogue
from datamodules.records.forms.system_prompt import after_system_prompt
from datamodules.records.json_items import kind
from datamodules.records.record_error import RecordError


class LlamaFactory(RecordForm):
    """`{messages: [{role: user|assistant, content}, ...], videos: [one file]}`, the tag as in LLaVA's form.

    A record whose `videos` are missing, `null` or none is a conversation without a clip, and holds no tag.
    A first message of the role `system` is put before the first question, on a line above.
    """

    dialogue = Dialogue("messages", "role", "content", ("user", "assistant"))

    def read(self, item: dict[str, Any], where: str) -> WrittenRecord:
        """Read one item."""
        needed(item, ("messages",), where)
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
        record = WrittenRecord(identity(item, where), file, turns)
        return after_system_prompt(system.get("content"), record, "messages[0]", where)
