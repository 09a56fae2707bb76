"""One training or evaluation record: a clip with a conversation about it, or a conversation without a clip."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from datamodules.answer_kind import FREE_ANSWER, AnswerKind


def described(identity: str, video: str, where: str) -> str:
    """Return the description of a record in messages.

    Args:
        identity: id of the record.
        video: path of its clip; empty if it has none.
        where: description of its position in a file; empty for a generated record.
    """
    return f"record {identity!r}" + (f" about {video}" if video else "") + (f" ({where})" if where else "")


@dataclass(frozen=True)
class Turn:
    """One question and its answer."""

    question: str
    answer: str


@dataclass(frozen=True)
class Record:
    """A conversation of one or more turns, usually about a clip.

    Attributes:
        id: identifier, unique within the source; the key of every stored answer.
        video: path of the clip, checked to be inside the media root; None for a conversation without a clip.
        turns: questions and answers, at least one; the clip is shown before the first question.
        family: question group for which scores are reported.
        answer_kind: how a reply to the last question is compared with its answer.
        where: description of the position in its file, such as `train.json, record 3`; empty for a generated record.
    """

    id: str
    video: Path | None
    turns: tuple[Turn, ...]
    family: str = "all"
    answer_kind: AnswerKind = FREE_ANSWER
    where: str = field(default="", compare=False)


class RecordError(ValueError):
    """An unusable record or file; the message says which file, where in it, and what to change."""
