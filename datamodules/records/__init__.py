"""Records and the file formats they come from."""

from datamodules.records.answer_kind import AnswerKind, Choice, FreeAnswer
from datamodules.records.llava import load_llava_records
from datamodules.records.record import Record, Turn
from datamodules.records.record_error import RecordError
from datamodules.records.selection import AllRecords, RandomShare, RecordSelection

__all__ = [
    "AllRecords",
    "AnswerKind",
    "Choice",
    "FreeAnswer",
    "RandomShare",
    "Record",
    "RecordError",
    "RecordSelection",
    "Turn",
    "load_llava_records",
]
