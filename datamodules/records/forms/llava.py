"""LLaVA's form, which Video-LLaVA, Valley and most training sets use."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from datamodules.records.forms.base import RecordForm, WrittenRecord, file_name, identity, needed, refuse_other_media
from datamodules.records.forms.dialogue import Dialogue
from datamodules.records.record_error import RecordError


class LLaVA(RecordForm):
    """`{id?, video, conversations: [{from: human|gpt, value}, ...]}`.

    The first question holds the tag `<video>` at its start or end, with or without a line break beside it; it is taken
    out, since the clip always precedes the first question. A record with `image` and the tag `<image>` instead is about
    a picture, which is a clip of one frame, and one with neither tag nor key, or `null` there, is a conversation
    without a clip.
    """

    dialogue = Dialogue("conversations", "from", "value", ("human", "gpt"))

    def read(self, item: dict[str, Any], where: str) -> WrittenRecord:
        """Read one item."""
        needed(item, ("conversations",), where)
        key = next((key for key in ("video", "image") if item.get(key) is not None), None)
        tags = {"video": self.dialogue.tag, "image": "<image>", None: None}
        dialogue = replace(self.dialogue, tag=tags[key])
        file = None if key is None else file_name(item[key], key, where)
        others = tuple(other for other in ("image", "images", "videos", "audio") if other != key)
        refuse_other_media(item, others, key, where)
        if item.get("system_prompt"):
            raise RecordError(f"{where}: has a 'system_prompt', which this form does not know; take it out")
        return WrittenRecord(identity(item, where), file, dialogue.turns(item["conversations"], where))
