"""Open-ended question files: MSVD-QA, MSRVTT-QA, TGIF-QA, ActivityNet-QA, and the benchmark of Video-ChatGPT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from datamodules.answer_kind import Aspect
from datamodules.benchmarks.question import OpenQuestion, Question
from datamodules.benchmarks.question_file import QuestionFile, Row, by_id, first_few, json_rows, read_text, table_rows
from datamodules.records import AnswerKind, Described, RecordError

GENERIC = (Aspect.CORRECTNESS, Aspect.DETAIL, Aspect.CONTEXT)


class SeparateAnswers(QuestionFile):
    """`test_q.json` and `test_a.json`: Video-LLaVA's `GPT_Zero_Shot_QA` folders, and ActivityNet-QA as published.

    Questions and answers are matched by their `question_id` (Video-LLaVA's code pairs them by position).
    """

    def __init__(self, questions: str, answers: str) -> None:
        """Set the files.

        Args:
            questions: path of a JSON list of `{video_name, question, question_id}`.
            answers: path of a JSON list of `{answer, question_id, type?}`.
        """
        super().__init__(questions, answers)

    def _read(self, *paths: Path) -> list[Question]:
        question_path, answer_path = paths
        questions = by_id(json_rows(question_path), "question_id")
        answers = by_id(json_rows(answer_path), "question_id")
        for problem, ids, others, path in (
            ("questions have no answer", questions, answers, answer_path),
            ("answers have no question", answers, questions, question_path),
        ):
            alone = [identity for identity in ids if identity not in others]
            if alone:
                raise RecordError(f"{path}: {len(alone)} {problem} here, by question_id: {first_few(alone)}")
        return [
            OpenQuestion(
                where=row.where,
                id=identity,
                video=row.name("video_name"),
                text=row.text("question"),
                code=answers[identity].name_if_any("type"),
                answer=answers[identity].text("answer"),
            )
            for identity, row in questions.items()
        ]


class MSVDQuestions(QuestionFile):
    """MSVD-QA as published: questions refer to clips by number, and a second file has the names of the clips."""

    def __init__(self, questions: str, mapping: str) -> None:
        """Set the files.

        Args:
            questions: path of a JSON list of `{id, video_id, question, answer}`; `video_id` is a number.
            mapping: path of `youtube_mapping.txt`, with lines such as `jfrrO5K_vKM_55_65 vid1451`.
        """
        super().__init__(questions, mapping)

    def _read(self, *paths: Path) -> list[Question]:
        question_path, mapping_path = paths
        names = _mapping(mapping_path)
        questions: list[Question] = []
        for row in json_rows(question_path):
            number = row.number("video_id")
            if number not in names:
                raise RecordError(f"{row.where}: video_id {number} has no line vid{number} in {mapping_path}")
            questions.append(
                OpenQuestion(row.where, row.name("id"), names[number], row.text("question"), None, row.text("answer"))
            )
        return questions


def _mapping(path: Path) -> dict[int, str]:
    names: dict[int, str] = {}
    for line, content in enumerate(read_text(path).split("\n"), start=1):
        if not content.strip():
            continue
        words = content.split()
        if len(words) != 2 or not words[1].startswith("vid") or not words[1][3:].isdecimal():
            raise RecordError(f"{path}, line {line}: is {content.strip()!r:.60}; it must be `<name> vid<number>`")
        number = int(words[1][3:])
        if number in names:
            raise RecordError(f"{path}, line {line}: {words[1]} is the number of {names[number]!r} too")
        names[number] = words[0]
    return names


class MSRVTTQuestions(QuestionFile):
    """MSRVTT-QA as published, or as JSON lines."""

    def __init__(self, questions: str) -> None:
        """Set the file.

        Args:
            questions: path of a JSON list, or of JSON lines (`.jsonl`), of `{video_id, question, answer, id?,
                answer_type?}`; the default `id` is the position of the row, and a number as `video_id` means
                `video<number>`.
        """
        super().__init__(questions)

    def _read(self, *paths: Path) -> list[Question]:
        (path,) = paths
        return [
            OpenQuestion(
                where=row.where,
                id=row.name_if_any("id") or str(number),
                video=self._video(row),
                text=row.text("question"),
                code=row.name_if_any("answer_type"),
                answer=row.text("answer"),
            )
            for number, row in enumerate(json_rows(path))
        ]

    def _video(self, row: Row) -> str:
        name = row.name("video_id")
        return f"video{name}" if name.isdecimal() else name


class TGIFFrameQuestions(QuestionFile):
    """TGIF-QA's FrameQA as published: a tab-separated table, although its name ends in `.csv`."""

    def __init__(self, questions: str) -> None:
        """Set the file.

        Args:
            questions: path of `Test_frameqa_question.csv`, with columns gif_name, question, answer, type, vid_id and
                others.
        """
        super().__init__(questions)

    def _read(self, *paths: Path) -> list[Question]:
        (path,) = paths
        return [
            OpenQuestion(
                where=row.where,
                id=row.text("vid_id"),
                video=row.text("gif_name"),
                text=row.text("question"),
                code=row.text("type"),
                answer=row.text("answer"),
            )
            for row in table_rows(path, "\t", ("gif_name", "question", "answer", "type", "vid_id"))
        ]


class FlatQuestions(QuestionFile):
    """One JSON list of `{video_name, question, answer}`, the format of all question files of Chat-UniVi.

    Its file for TGIF-QA has a fault: 1,035 of 13,691 answers begin with "? ", since question and answer were split at
    the wrong position. Such a file is refused.
    """

    def __init__(self, questions: str) -> None:
        """Set the file.

        Args:
            questions: path of the list; the id of a question is its position in it.
        """
        super().__init__(questions)

    def _read(self, *paths: Path) -> list[Question]:
        (path,) = paths
        rows = json_rows(path)
        torn = [row for row in rows if row.text("answer").startswith("? ")]
        if torn:
            raise RecordError(
                f'{path}: {len(torn)} of {len(rows)} answers begin with "? ", the first in row {rows.index(torn[0])}:'
                " question and answer were cut at the wrong place. Take TGIF-QA's own Test_frameqa_question.csv"
                " (TGIFFrameQuestions), or move what belongs to the question out of these answers"
            )
        return [
            OpenQuestion(
                where=row.where,
                id=str(number),
                video=row.name("video_name"),
                text=row.text("question"),
                code=row.name_if_any("type"),
                answer=row.text("answer"),
            )
            for number, row in enumerate(rows)
        ]


@dataclass(frozen=True)
class DescribedQuestion(OpenQuestion):
    """A question to be answered in sentences.

    Attributes:
        aspects: aspects for which a judge scores the answer.
    """

    aspects: tuple[Aspect, ...]

    def answer_kind(self) -> AnswerKind:
        """Return `Described` with the aspects."""
        return Described(*self.aspects)


class VideoChatGPTQuestions(QuestionFile):
    """The benchmark of Video-ChatGPT, whose answers are sentences that a judge scores from 0 to 5.

    It has three files: generic (for correctness, detail and context), temporal, and consistency. A row of the last has
    two questions with the same answer; they are asked separately, and the two replies are judged together. The type of
    a question is `generic`, `temporal`, `consistency_1` or `consistency_2`. Its id is the file and the position of the
    row, such as `generic/0`, followed by `/1` or `/2` in `consistency`.
    """

    def __init__(self, generic: str, temporal: str, consistency: str) -> None:
        """Set the files.

        Args:
            generic: path of a JSON list of `{Q, A, video_name}`.
            temporal: path of a JSON list of `{Q, A, video_name}`.
            consistency: path of a JSON list of `{Q1, Q2, A, video_name}`.
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
            _question(row, f"consistency/{number}/{part}", f"Q{part}", f"consistency_{part}", (Aspect.CONSISTENCY,))
            for number, row in enumerate(consistency)
            for part in (1, 2)
        ]
        return questions


def _question(row: Row, identity: str, key: str, code: str, aspects: tuple[Aspect, ...]) -> Question:
    return DescribedQuestion(row.where, identity, row.name("video_name"), row.text(key), code, row.text("A"), aspects)
