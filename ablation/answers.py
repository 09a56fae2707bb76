"""The stored answers of a run, keyed by question."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ScoredAnswer:
    """One line of `answers/<split>.jsonl`, as far as scores need it."""

    family: str
    right: bool


def read_answers(run: Path, split: str = "test") -> dict[str, ScoredAnswer]:
    """Return question id -> answer of a run.

    Raises:
        ValueError: the run has no answers, or a line is not one.
    """
    path = run / "answers" / f"{split}.jsonl"
    if not path.is_file():
        raise ValueError(f"{run} holds no answers: {path} does not exist")
    answers = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            answers[str(row["id"])] = ScoredAnswer(str(row["family"]), bool(row["right"]))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number} is not an answer: {error!r}") from None
    return answers
