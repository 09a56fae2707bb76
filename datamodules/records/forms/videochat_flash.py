"""The form of VideoChat-Flash: LLaVA's, but for the tag."""

from __future__ import annotations

from dataclasses import replace

from datamodules.records.forms.llava import LLaVA


class VideoChatFlash(LLaVA):
    """LLaVA's form with the tag `<image>`, which stands for the video."""

    dialogue = replace(LLaVA.dialogue, tag="<image>")
