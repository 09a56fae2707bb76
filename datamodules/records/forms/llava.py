"""LLaVA's form, which Video-LLaVA, Valley and most training sets use."""

from __future__ import annotations

from typing import Any

from datamodules.records.forms.base import RecordForm, WrittenRecord, file_name, identity, needed, refuse_other_media
from datamodules.records.forms.dialogue import Dialogue
from datamodules.records.record_error import RecordError


class LLaVA(RecordForm):
    """`{id?, video, conversations: [{from: human|gpt, value}, ...]}`.

    The first question holds the tag `<video>` at its start or end, with or without a line break beside it; it is taken
    out, since the clip always precedes the first question.
    """

    dialogue = Dialogue("conversations", "from", "value", ("human", "gpt"))

    def read(self, item: dict[str, Any], where: str) -> WrittenRecord:
        """Read one item."""
        needed(item, ("video", "conversations"), where)
        video = file_name(item["video"], "video", where)
        refuse_other_media(item, ("image", "images", "audio"), where)
        if item.get("system_prompt"):
            raise RecordError(f"{where}: has a 'system_prompt', which this form does not know; take it out")
        return WrittenRecord(identity(item, where), video, self.dialogue.turns(item["conversations"], where))
