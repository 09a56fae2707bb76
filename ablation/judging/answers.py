"""Stored answers for a judge: JSON lines with id, question, reference and prediction."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.judging.judge import Comparison
from datamodules.answer_kind import Aspect
from lightning_modules.scoring.answer_store import AnswerStore

SECOND = ("second_question", "second_prediction")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GeneratedAnswer:
    """A stored answer, to be judged for one aspect.

    Attributes:
        id: id of the question.
        comparison: comparison for a judge.
        video: video of the question, if stored.
        family: family of the question, if stored.
    """

    id: str
    comparison: Comparison
    video: str | None
    family: str | None = None

    @property
    def aspect(self) -> str | None:
        """Judged aspect as it is stored; None for right or wrong."""
        return None if self.comparison.aspect is None else str(self.comparison.aspect)


def answer_files(source: Path, split: str) -> list[Path]:
    """Return the files with the answers of a run, one per process of its test; or `source` if it is a file.

    Raises:
        ValueError: there are no such files.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ValueError(f"{source} does not exist; name a run folder, or a file of answers")
    store = AnswerStore.of_run(source, split)
    files = store.files()
    if not files:
        raise ValueError(f"{source} holds no answers: {store.path} does not exist")
    return files


def read_generated_answers(
    files: Sequence[Path], aspects: Sequence[Aspect] = (), scores: bool = True
) -> list[GeneratedAnswer]:
    """Return the answers in their order, once for each aspect.

    Consistency is judged between the two answers of a pair: both in one line, or in lines with the ids `.../1` and
    `.../2`. A question without the other one of its pair is left out, with a warning.

    Args:
        files: files of JSON lines.
        aspects: aspects to judge; empty for the `aspect` or `aspects` of each line, or right or wrong without these.
        scores: whether the judge scores the `aspects` of a line; otherwise it judges right or wrong.

    Raises:
        ValueError: there are no answers, a line is not an answer, or an id is repeated.
    """
    rows = list(_rows(files))
    by_id = {row["id"]: row for row, _ in rows if isinstance(row.get("id"), str)}
    answers: list[GeneratedAnswer] = []
    places: dict[tuple[str, str | None], str] = {}
    single = 0
    for row, place in rows:
        for aspect in aspects or _own_aspects(row, place, scores):
            paired = row
            ids = ids_of_pair(str(row.get("id")))
            if aspect is Aspect.CONSISTENCY and ids and not row.keys() & {*SECOND}:
                if not by_id.keys() >= {*ids}:
                    single += 1
                    continue
                if row["id"] != ids[0]:
                    continue  # judged together with the first
                second = by_id[ids[1]]
                paired = {**row, SECOND[0]: second.get("question"), SECOND[1]: second.get("prediction")}
            answer = _answer(paired, aspect, place)
            earlier = places.setdefault((answer.id, answer.aspect), place)
            if earlier != place:
                raise ValueError(f"{place}: question {answer.id!r} was answered before, in {earlier}")
            answers.append(answer)
    if single:
        log.warning("%d answers are left out of consistency: the other one of their pair is not there", single)
    if not answers:
        raise ValueError(f"{', '.join(map(str, files))}: no answers")
    return answers


def ids_of_pair(identity: str) -> tuple[str, str] | None:
    """Return the ids of both questions of a question's pair, for consistency; None if it has no pair."""
    stem, _, which = identity.rpartition("/")
    return (f"{stem}/1", f"{stem}/2") if which in ("1", "2") else None


def _rows(files: Sequence[Path]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each line with a description of its place."""
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").split("\n")  # not splitlines: JSON text may hold other line ends
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{file} cannot be read as text: {error}") from error
        for number, line in enumerate(lines, start=1):
            if line.strip():
                place = f"{file}, line {number}"
                yield _row(line, place), place


def _row(line: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place} is not JSON: {error}") from None
    if not isinstance(row, dict):
        raise ValueError(f"{place} must be an object with id, question, reference and prediction")
    return row


def _own_aspects(row: dict[str, Any], place: str, scores: bool) -> Sequence[Aspect | None]:
    one, several = row.get("aspect"), row.get("aspects", []) if scores else []
    aspects = several if one is None else [one]
    unknown = [aspect for aspect in aspects if aspect not in list(Aspect)] if isinstance(aspects, list) else [aspects]
    if unknown:
        raise ValueError(f"{place}: unknown aspect {unknown[0]!r}; known: {', '.join(Aspect)}")
    return [*map(Aspect, aspects)] or [None]


def _answer(row: dict[str, Any], aspect: Aspect | None, place: str) -> GeneratedAnswer:
    missing = [key for key in ("id", "question", "reference", "prediction") if key not in row]
    missing += [key for key in SECOND if aspect is Aspect.CONSISTENCY and key not in row]
    if missing:
        raise ValueError(f"{place} lacks {', '.join(missing)}")
    texts = {key: row[key] for key in ("question", "reference", "prediction", *SECOND) if key in row}
    for key, text in texts.items():
        if not isinstance(text, str):
            raise ValueError(f"{place}: {key} is {text!r}; it must be text")
        if not text.isascii() and text != text.encode(errors="ignore").decode():
            raise ValueError(f"{place}: {key} has half a character (a lone surrogate)")
        if not text.strip() and "prediction" not in key:
            raise ValueError(f"{place}: {key} is empty, so there is nothing to judge by")
    if isinstance(row["id"], bool) or not isinstance(row["id"], str | int):
        raise ValueError(f"{place}: id is {row['id']!r}; it must be text or a number")
    if aspect is not Aspect.CONSISTENCY:
        texts = {key: text for key, text in texts.items() if key not in SECOND}
    video, family = row.get("video"), row.get("family")
    return GeneratedAnswer(
        str(row["id"]),
        Comparison(**texts, aspect=aspect),
        str(video) if video else None,
        str(family) if family else None,
    )
