"""One training or evaluation record: a clip and what is said about it, or a conversation without one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from datamodules.answer_kind import FREE_ANSWER, AnswerKind


def described(identity: str, video: str, where: str) -> str:
    """Return the name of a record in messages.

    Args:
        identity: its id.
        video: its clip; empty if it has none.
        where: words for its place; empty if it was made.
    """
    return f"record {identity!r}" + (f" about {video}" if video else "") + (f" ({where})" if where else "")


@dataclass(frozen=True)
class Turn:
    """One question and its answer."""

    question: str
    answer: str


@dataclass(frozen=True)
class Record:
    """One or more turns, most often about a clip.

    Attributes:
        id: unique within its source; the key of every stored answer.
        video: file of the clip, already confined to its media root; None where there is none.
        turns: at least one; the clip is shown before the first question.
        family: group that scores are reported for.
        answer_kind: how a reply to the last question is compared with its answer.
        where: words for the place that it was read from, such as `train.json, record 3`; empty if it was made.
    """

    id: str
    video: Path | None
    turns: tuple[Turn, ...]
    family: str = "all"
    answer_kind: AnswerKind = FREE_ANSWER
    where: str = field(default="", compare=False)


class RecordError(ValueError):
    """Says which file, where in it, and what to change."""
