"""The form of Video-ChatGPT's own file (VideoInstruct-100K), from before others turned it into LLaVA's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datamodules.records.forms.base import RecordForm, WrittenRecord, file_name, identity, needed
from datamodules.records.forms.dialogue import paired, refuse_tags
from datamodules.records.json_items import kind
from datamodules.records.media_root import MediaRoot
from datamodules.records.record_error import RecordError


class VideoChatGPT(RecordForm):
    """`{q, a, video_id}`: one question without a tag, its answer, and the name of the clip without its extension."""

    def read(self, item: dict[str, Any], where: str) -> WrittenRecord:
        """Read one item."""
        needed(item, ("q", "a", "video_id"), where)
        for key in ("q", "a"):
            if not isinstance(item[key], str):
                raise RecordError(f"{where}: {key!r} is {kind(item[key])}; it must be a string")
            refuse_tags(item[key], f"{where}, {key!r}", "this form has no tags")
        if not item["a"].strip():
            raise RecordError(f"{where}: the answer is empty; write one or take the question out")
        video = file_name(item["video_id"], "video_id", where)
        return WrittenRecord(identity(item, where), video, paired([item["q"].strip(), item["a"]]))

    def find(self, video: str, media: MediaRoot, where: str) -> Path | None:
        """Look the clip up by its name and any extension of a video."""
        return media.find_by_stem(video, where)
