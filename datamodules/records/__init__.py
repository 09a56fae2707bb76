"""Records and the file formats they come from."""

from datamodules.records.llava import load_llava_records
from datamodules.records.record import Record, Turn
from datamodules.records.record_error import RecordError

__all__ = ["Record", "RecordError", "Turn", "load_llava_records"]
