"""Multiple-choice question files: NExT-QA, EgoSchema, VideoMME."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from datamodules.answer_kind import LETTERS
from datamodules.benchmarks.question import ChoiceQuestion, Question
from datamodules.benchmarks.question_file import QuestionFile, Row, by_id, first_few, json_rows, parsed_json, table_rows
from datamodules.records import RecordError
from datamodules.records.json_items import kind

log = logging.getLogger(__name__)


class NExTQuestions(QuestionFile):
    """NExT-QA's multiple choice: a table with five options and the number of the right one, from 0."""

    OPTIONS = ("a0", "a1", "a2", "a3", "a4")

    def __init__(self, questions: str) -> None:
        """Set the file.

        Args:
            questions: path of `val.csv` or `test.csv`, with columns video, question, answer, qid, type, a0 to a4.
        """
        super().__init__(questions)

    def _read(self, *paths: Path) -> list[Question]:
        return [
            ChoiceQuestion(
                where=row.where,
                id=f"{row.text('video')}_{row.text('qid')}",
                video=row.text("video"),
                text=row.text("question"),
                code=row.text("type"),
                options=[row.text(option) for option in self.OPTIONS],
                right=row.number("answer"),
            )
            for row in table_rows(paths[0], ",", ("video", "question", "answer", "qid", "type", *self.OPTIONS))
        ]


class EgoSchemaQuestions(QuestionFile):
    """EgoSchema: questions with five options in one file, and the numbers of the right options in another.

    Only 500 of the 5,031 answers are public; questions without one are left out, and the log says how many remain.
    """

    OPTIONS = ("option 0", "option 1", "option 2", "option 3", "option 4")

    def __init__(self, questions: str, answers: str) -> None:
        """Set the files.

        Args:
            questions: path of `questions.json`, a list of `{q_uid, question, "option 0", ..., "option 4"}`; the name
                of a question's clip is its `q_uid`.
            answers: path of `subset_answers.json`, an object with the number of the right option by `q_uid`.
        """
        super().__init__(questions, answers)

    def _read(self, *paths: Path) -> list[Question]:
        question_path, answer_path = paths
        rows = by_id(json_rows(question_path), "q_uid")
        answers = parsed_json(answer_path)
        if not isinstance(answers, dict):
            raise RecordError(f"{answer_path}: holds {kind(answers)}; it must be an object: {{<q_uid>: <option>, ...}}")
        alone = [identity for identity in answers if identity not in rows]
        if alone:
            raise RecordError(f"{question_path}: {len(alone)} answers have no question here: {first_few(alone)}")
        answered = [identity for identity in rows if identity in answers]
        log.info("%s: %d of %d questions have a public answer", question_path, len(answered), len(rows))
        return [
            ChoiceQuestion(
                where=rows[identity].where,
                id=identity,
                video=identity,
                text=rows[identity].text("question"),
                code=None,
                options=[rows[identity].text(option) for option in self.OPTIONS],
                right=Row(answer_path.name, answers).number(identity),
            )
            for identity in answered
        ]


class VideoMMEQuestions(QuestionFile):
    """VideoMME: four options, and the letter of the right one.

    It is published as parquet; one line turns this into JSON lines:
    `pandas.read_parquet("test-00000-of-00001.parquet").to_json("test.jsonl", orient="records", lines=True)`.
    """

    def __init__(self, questions: str, durations: Sequence[str] = ("short", "medium", "long")) -> None:
        """Set the file.

        Args:
            questions: path of a JSON list, or of JSON lines (`.jsonl`), of `{question_id, videoID, question, options,
                answer, task_type, duration}`; `options` is a list such as `["A. Apples.", ...]`.
            durations: duration classes of the videos whose questions are used; the log says how many these are.
        """
        super().__init__(questions)
        self.durations = durations

    def _read(self, *paths: Path) -> list[Question]:
        (path,) = paths
        rows = json_rows(path)
        durations = {row.text("duration") for row in rows}
        unknown = sorted(set(self.durations) - durations)
        if unknown:
            raise RecordError(f"{path}: no video is {', '.join(unknown)} (`durations`); they are {sorted(durations)}")
        chosen = [row for row in rows if row.text("duration") in self.durations]
        log.info("%s: %d of %d questions are about %s videos", path, len(chosen), len(rows), ", ".join(self.durations))
        return [_lettered_question(row) for row in chosen]


def _lettered_question(row: Row) -> Question:
    options = row.texts("options")
    for letter, option in zip(LETTERS, options, strict=False):
        if not option.startswith(f"{letter}. "):
            raise RecordError(f"{row.where}: option {option!r} must begin with {letter + '. '!r}")
    letter, letters = row.text("answer"), [*LETTERS[: len(options)]]
    if letter not in letters:
        raise RecordError(f"{row.where}: 'answer' is {letter!r}; it must be one of {', '.join(letters)}")
    return ChoiceQuestion(
        where=row.where,
        id=row.name("question_id"),
        video=row.text("videoID"),
        text=row.text("question"),
        code=row.text("task_type"),
        options=[option[3:] for option in options],
        right=letters.index(letter),
    )
