"""Training records and the file formats that they are read from."""

from datamodules.answer_kind import AnswerKind, Choice, Described, FreeAnswer
from datamodules.records.loading import Source, load_records, mix
from datamodules.records.published_forms import LlamaFactory, LLaVA, LmmsFinetune, VideoChatFlash, VideoChatGPT
from datamodules.records.record import Record, RecordError, Turn
from datamodules.records.record_form import RecordForm
from datamodules.records.selection import AllRecords, FirstRecords, RandomRecords, RandomShare, RecordSelection
from datamodules.records.table import RecordStore, RecordTable

__all__ = [
    "AllRecords",
    "AnswerKind",
    "Choice",
    "Described",
    "FirstRecords",
    "FreeAnswer",
    "LLaVA",
    "LlamaFactory",
    "LmmsFinetune",
    "RandomRecords",
    "RandomShare",
    "Record",
    "RecordError",
    "RecordForm",
    "RecordSelection",
    "RecordStore",
    "RecordTable",
    "Source",
    "Turn",
    "VideoChatFlash",
    "VideoChatGPT",
    "load_records",
    "mix",
]
