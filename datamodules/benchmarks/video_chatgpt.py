"""The benchmark of Video-ChatGPT: open questions whose answers are sentences, for a judge to score from 0 to 5."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from datamodules.answer_kind import Aspect
from datamodules.benchmarks.question import OpenQuestion, Question
from datamodules.benchmarks.question_file import QuestionFile
from datamodules.benchmarks.rows import Row, json_rows
from datamodules.records import AnswerKind, Described

GENERIC = (Aspect.CORRECTNESS, Aspect.DETAIL, Aspect.CONTEXT)


@dataclass(frozen=True)
class DescribedQuestion(OpenQuestion):
    """A question to be answered in sentences.

    Attributes:
        aspects: for which a judge scores the answer.
    """

    aspects: tuple[Aspect, ...]

    def answer_kind(self) -> AnswerKind:
        """Return that of sentences, with their aspects."""
        return Described(*self.aspects)


class VideoChatGPTQuestions(QuestionFile):
    """Three files: generic (for correctness, detail and context), temporal, and consistency.

    A row of the third has two questions with one answer; each is asked by itself, and the two replies are judged
    together. The type of a question is `generic`,
    `temporal`, `consistency_1` or `consistency_2`, and its id is that of its row, `generic/0`, with `/1` or `/2` behind
    it in `consistency`.
    """

    def __init__(self, generic: str, temporal: str, consistency: str) -> None:
        """Name the files.

        Args:
            generic: JSON list of `{Q, A, video_name}`.
            temporal: the same.
            consistency: JSON list of `{Q1, Q2, A, video_name}`.
        """
        super().__init__(generic, temporal, consistency)

    def _read(self, *paths: Path) -> list[Question]:
        generic, temporal, consistency = (json_rows(path) for path in paths)
        questions = [_question(row, f"generic/{number}", "Q", "generic", GENERIC) for number, row in enumerate(generic)]
        questions += [
            _question(row, f"temporal/{number}", "Q", "temporal", (Aspect.TEMPORAL,))
            for number, row in enumerate(temporal)
        ]
        questions += [
            _question(row, f"consistency/{number}/{which}", f"Q{which}", f"consistency_{which}", (Aspect.CONSISTENCY,))
            for number, row in enumerate(consistency)
            for which in (1, 2)
        ]
        return questions


def _question(row: Row, identity: str, key: str, code: str, aspects: tuple[Aspect, ...]) -> Question:
    return DescribedQuestion(row.where, identity, row.name("video_name"), row.text(key), code, row.text("A"), aspects)
