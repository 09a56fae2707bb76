"""Judgements on disk: those of a file of answers, and all that a judge has replied so far, by what was judged."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ablation.judging.answers import GeneratedAnswer
from ablation.judging.judge import BEST_SCORE, Comparison, JudgeIdentity, Judgement
from components.files import json_lines, write_whole
from datamodules.answer_kind import Aspect
from lightning_modules.runs.folder import ANSWERS, JUDGEMENTS

Key = tuple[str, str | None]  # question id and aspect


@dataclass(frozen=True)
class JudgedAnswer:
    """One line of `judgements/<split>/<judge>.jsonl`, as far as figures need it."""

    id: str
    aspect: str | None
    video: str | None
    question: str
    reference: str
    prediction: str
    right: bool | None
    score: float | None
    unjudged: str | None
    family: str | None = None

    @property
    def key(self) -> Key:
        """What it is about."""
        return self.id, self.aspect


def judgement_path(answers: Path, identity: JudgeIdentity) -> Path:
    """Return where a judge's judgements of an answer file go.

    Those of `RUN/answers/test.jsonl` go to `RUN/judgements/test/`, and those of any other file beside it.
    """
    folder = answers.parent.parent if answers.parent.name == ANSWERS else answers.parent
    return folder / JUDGEMENTS / answers.stem / f"{identity.label}.jsonl"


def write_judgements(
    path: Path, identity: JudgeIdentity, judged: Mapping[GeneratedAnswer, Judgement]
) -> list[JudgedAnswer]:
    """Write the file, whole or not at all, and return what it holds of these answers.

    Judgements of the same answers for other aspects that are in the file already stay there.

    Raises:
        ValueError: the file cannot be written, as on a full disk, or one that is there is none of judgements.
    """
    who = {"name": identity.name, "revision": identity.revision, "prompt": identity.prompt, "hash": identity.hash}
    rows = [_row(answer, judgement) | {"judge": who} for answer, judgement in judged.items()]
    ours = [_judged(row) for row in rows]
    keys = {each.key for each in ours}
    texts = {(each.id, each.question, each.reference, each.prediction) for each in ours}
    kept = [
        row
        for row in (_lines(path) if path.is_file() else [])
        if (old := _judged(row)).key not in keys and (old.id, old.question, old.reference, old.prediction) in texts
    ]
    content = json_lines([*kept, *rows])
    with naming(path):
        write_whole(path, content.encode("utf-8", "surrogatepass"))
    return ours


def read_judgements(path: Path) -> tuple[str, dict[Key, JudgedAnswer]]:
    """Return what the judge is called, and its judgements.

    Raises:
        ValueError: the file cannot be read, holds something else, or is of two judges.
    """
    rows = _lines(path)
    judged = {each.key: each for each in map(_judged, rows)}
    names = sorted({f"{row['judge']['name']}-{row['judge']['hash'][:8]}" for row in rows})
    if len(names) != 1 or len(judged) != len(rows):
        raise ValueError(f"{path} must hold judgements of one judge, each once; it is of {', '.join(names) or 'none'}")
    return names.pop(), judged


def _row(answer: GeneratedAnswer, judgement: Judgement) -> dict[str, Any]:
    comparison = asdict(answer.comparison)
    known = {"video": answer.video, "family": answer.family}
    known = {key: value for key, value in known.items() if value is not None}
    second = {key: text for key, text in comparison.items() if key.startswith("second") and text is not None}
    texts = {key: comparison[key] for key in ("question", "reference", "prediction")}
    return {"id": answer.id, "aspect": answer.aspect, **known, **texts, **second, **asdict(judgement)}


def _judged(row: Mapping[str, Any]) -> JudgedAnswer:
    fields: dict[str, Any] = {field.name: row.get(field.name) for field in dataclasses.fields(JudgedAnswer)}
    return JudgedAnswer(**fields)


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        lines: Iterable[str] = filter(str.strip, path.read_text(encoding="utf-8", errors="surrogatepass").split("\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            who = row["judge"]
            texts = [row[key] for key in ("id", "question", "reference", "prediction")] + [who["name"], who["hash"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            row, texts = {}, [None]
        named = [row.get(key) for key in ("aspect", "video", "family")]
        typed = all(isinstance(text, str) for text in texts) and all(isinstance(text, str | None) for text in named)
        if not typed or not is_said(row, row.get("aspect")):
            raise ValueError(f"{path}, judgement {number} is none; `judge` writes such files")
        rows.append(row)
    return rows


class JudgementCache:
    """Judgements of one judge; may be used by many threads.

    Attributes:
        path: of the file.
        broken: how many of its lines cannot be read.
    """

    def __init__(self, folder: Path, identity: JudgeIdentity) -> None:
        """Read what is there.

        Raises:
            ValueError: the file cannot be read.
        """
        self.path = folder / f"{identity.label}.jsonl"
        self.broken = 0
        self._identity = identity
        self._lock = threading.Lock()
        self._known: dict[Comparison, Judgement] = {}
        self._needs_newline = False
        self._read()

    def get(self, comparison: Comparison) -> Judgement | None:
        """Return what the judge said about it, or None."""
        return self._known.get(comparison)

    def add(self, comparison: Comparison, judgement: Judgement) -> None:
        """Store a judgement at once; one without a reply is none that was made, and is not stored.

        Raises:
            ValueError: the file cannot be written, as on a full disk.
        """
        if judgement.reply is None:
            return
        line = {"judge": self._identity.hash, **asdict(comparison), **asdict(judgement)}
        content = (json.dumps(line) + "\n").encode()
        with self._lock, naming(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:  # one write, so that two processes do not mix their lines
                if self._needs_newline:
                    content = b"\n" + content
                self._needs_newline = True  # until it is known that the whole line is there
                while content:
                    content = content[file.write(content) :]
                self._needs_newline = False
            self._known[comparison] = judgement

    def _read(self) -> None:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise ValueError(f"{self.path} cannot be read: {error.strerror}") from error
        self._needs_newline = bool(content) and not content.endswith(b"\n")
        for line in filter(None, content.split(b"\n")):
            try:
                row = json.loads(line)
                judge = row.pop("judge")
                comparison = Comparison(**{key: row.pop(key) for key in Comparison.__dataclass_fields__})
                judgement = Judgement(**row)
                if not (_is_asked(comparison) and is_said(row, comparison.aspect) and isinstance(row["reply"], str)):
                    raise TypeError
                known = {comparison: judgement} if judge == self._identity.hash else {}  # the name has its first digits
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                self.broken += 1
                continue
            self._known |= known


def is_said(row: Mapping[str, Any], aspect: str | None) -> bool:
    """Return whether a row has a judgement: values of the right types, that say how it was judged or why not."""
    right, score, unjudged = row.get("right"), row.get("score"), row.get("unjudged")
    is_score = isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= BEST_SCORE
    typed = isinstance(right, bool | None) and (score is None or is_score)
    typed &= all(isinstance(text, str | None) for text in (unjudged, row.get("reply"), row.get("answered_by")))
    judged = right is not None or (aspect is not None and score is not None)
    return typed and (judged or unjudged is not None)


def _is_asked(comparison: Comparison) -> bool:
    texts = (comparison.question, comparison.reference, comparison.prediction)
    second = (comparison.second_question, comparison.second_prediction)
    known = comparison.aspect is None or comparison.aspect in list(Aspect)
    return (
        known and all(isinstance(text, str) for text in texts) and all(isinstance(text, str | None) for text in second)
    )


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Say which file cannot be written, and how to go on: the system names none when a disk is full.

    Raises:
        ValueError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"{path} cannot be written: {error.strerror}; once it can, the same command goes on from what is stored"
        ) from error
