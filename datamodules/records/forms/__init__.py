"""The forms that files of conversations come in. The names listed here can be used in YAML."""

from datamodules.records.forms.base import RecordForm, WrittenRecord
from datamodules.records.forms.llama_factory import LlamaFactory
from datamodules.records.forms.llava import LLaVA
from datamodules.records.forms.lmms_finetune import LmmsFinetune
from datamodules.records.forms.video_chatgpt import VideoChatGPT
from datamodules.records.forms.videochat_flash import VideoChatFlash

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
