"""The forms that files of conversations come in. The names listed here can be used in YAML."""

from datamodules.records.forms.base import RecordForm, WrittenRecord
from datamodules.records.forms.formats import LlamaFactory, LLaVA, LmmsFinetune, VideoChatFlash, VideoChatGPT

# From the most common one on: the first that can read a record is named in an error.
FORMS: tuple[type[RecordForm], ...] = (LLaVA, VideoChatFlash, LmmsFinetune, LlamaFactory, VideoChatGPT)

__all__ = [
    "FORMS",
    "LLaVA",
    "LlamaFactory",
    "LmmsFinetune",
    "RecordForm",
    "VideoChatFlash",
    "VideoChatGPT",
    "WrittenRecord",
]
