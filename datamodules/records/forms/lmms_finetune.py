"""The form of lmms-finetune: LLaVA's, with system prompts."""

from __future__ import annotations

from typing import Any

from datamodules.records.forms.base import RecordForm, WrittenRecord
from datamodules.records.forms.llava import LLaVA
from datamodules.records.forms.system_prompt import after_system_prompt


class LmmsFinetune(RecordForm):
    """LLaVA's form, where a record may have a `system_prompt`: it is put before the first question, on a line above.

    It does not replace the system text of the language model's prompt, which is the same for all records.
    """

    def read(self, item: dict[str, Any], where: str) -> WrittenRecord:
        """Read one item."""
        rest = {key: value for key, value in item.items() if key != "system_prompt"}
        return after_system_prompt(item.get("system_prompt"), LLaVA().read(rest, where), "system_prompt", where)
