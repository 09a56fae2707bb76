"""Judgements on disk: those of a file of answers, and the cache of all judgements of a judge."""

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
    """One line of `judgements/<split>/<judge>.jsonl`, without the fields that no figure needs."""

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
        """Question id and aspect."""
        return self.id, self.aspect


def judgement_path(answers: Path, identity: JudgeIdentity) -> Path:
    """Return the file for a judge's judgements of an answer file.

    For `RUN/answers/test.jsonl` it is in `RUN/judgements/test/`, and for other files in a folder beside them.
    """
    folder = answers.parent.parent if answers.parent.name == ANSWERS else answers.parent
    return folder / JUDGEMENTS / answers.stem / f"{identity.label}.jsonl"


def write_judgements(
    path: Path, identity: JudgeIdentity, judged: Mapping[GeneratedAnswer, Judgement]
) -> list[JudgedAnswer]:
    """Write judgements atomically, and return them as judged answers.

    Judgements in the file of the same answers for other aspects are kept.

    Raises:
        ValueError: the file cannot be written, as on a full disk, or an existing file does not hold judgements.
    """
    judge = {"name": identity.name, "revision": identity.revision, "prompt": identity.prompt, "hash": identity.hash}
    rows = [_row(answer, judgement) | {"judge": judge} for answer, judgement in judged.items()]
    ours = [_judged(row) for row in rows]
    keys = {answer.key for answer in ours}
    texts = {(answer.id, answer.question, answer.reference, answer.prediction) for answer in ours}
    kept = [
        row
        for row in (_lines(path) if path.is_file() else [])
        if (old := _judged(row)).key not in keys and (old.id, old.question, old.reference, old.prediction) in texts
    ]
    content = json_lines([*kept, *rows])
    with write_errors(path):
        write_whole(path, content.encode("utf-8", "surrogatepass"))
    return ours


def read_judgements(path: Path) -> tuple[str, dict[Key, JudgedAnswer]]:
    """Return the name of the judge, and its judgements.

    Raises:
        ValueError: the file cannot be read, holds something else, or has judgements of several judges.
    """
    rows = _lines(path)
    judged = {answer.key: answer for answer in map(_judged, rows)}
    names = sorted({f"{row['judge']['name']}-{row['judge']['hash'][:8]}" for row in rows})
    if len(names) != 1 or len(judged) != len(rows):
        raise ValueError(f"{path} must hold judgements of one judge, each once; it is of {', '.join(names) or 'none'}")
    return names.pop(), judged


def _row(answer: GeneratedAnswer, judgement: Judgement) -> dict[str, Any]:
    comparison = asdict(answer.comparison)
    optional = {"video": answer.video, "family": answer.family}
    optional = {key: value for key, value in optional.items() if value is not None}
    second = {key: text for key, text in comparison.items() if key.startswith("second") and text is not None}
    texts = {key: comparison[key] for key in ("question", "reference", "prediction")}
    return {"id": answer.id, "aspect": answer.aspect, **optional, **texts, **second, **asdict(judgement)}


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
            judge = row["judge"]
            texts = [row[key] for key in ("id", "question", "reference", "prediction")] + [judge["name"], judge["hash"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            row, texts = {}, [None]
        optional = [row.get(key) for key in ("aspect", "video", "family")]
        typed = all(isinstance(text, str) for text in texts) and all(isinstance(text, str | None) for text in optional)
        if not typed or not has_judgement(row, row.get("aspect")):
            raise ValueError(f"{path}, entry {number} is not a judgement; `judge` writes such files")
        rows.append(row)
    return rows


class JudgementCache:
    """A cache file with all judgements of one judge, by comparison; thread-safe.

    Attributes:
        path: path of the file.
        broken: number of unreadable lines.
    """

    def __init__(self, folder: Path, identity: JudgeIdentity) -> None:
        """Read the file, if it exists.

        Raises:
            ValueError: the file cannot be read.
        """
        self.path = folder / f"{identity.label}.jsonl"
        self.broken = 0
        self._identity = identity
        self._lock = threading.Lock()
        self._judgements: dict[Comparison, Judgement] = {}
        self._needs_newline = False
        self._read()

    def get(self, comparison: Comparison) -> Judgement | None:
        """Return the stored judgement of a comparison, or None."""
        return self._judgements.get(comparison)

    def add(self, comparison: Comparison, judgement: Judgement) -> None:
        """Store a judgement at once, unless it has no reply.

        Raises:
            ValueError: the file cannot be written, as on a full disk.
        """
        if judgement.reply is None:
            return
        line = {"judge": self._identity.hash, **asdict(comparison), **asdict(judgement)}
        content = (json.dumps(line) + "\n").encode()
        with self._lock, write_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:  # a single write, so that processes do not mix their lines
                if self._needs_newline:
                    content = b"\n" + content
                self._needs_newline = True  # in case the write fails within the line
                while content:
                    content = content[file.write(content) :]
                self._needs_newline = False
            self._judgements[comparison] = judgement

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
                if not (
                    _is_valid(comparison) and has_judgement(row, comparison.aspect) and isinstance(row["reply"], str)
                ):
                    raise TypeError
                # The file name has only the first digits of the hash.
                entry = {comparison: judgement} if judge == self._identity.hash else {}
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                self.broken += 1
                continue
            self._judgements |= entry


def has_judgement(row: Mapping[str, Any], aspect: str | None) -> bool:
    """Return whether a row has a judgement, or a reason for its absence, with values of the right types."""
    right, score, unjudged = row.get("right"), row.get("score"), row.get("unjudged")
    is_score = isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= BEST_SCORE
    typed = isinstance(right, bool | None) and (score is None or is_score)
    typed &= all(isinstance(text, str | None) for text in (unjudged, row.get("reply"), row.get("answered_by")))
    judged = right is not None or (aspect is not None and score is not None)
    return typed and (judged or unjudged is not None)


def _is_valid(comparison: Comparison) -> bool:
    texts = (comparison.question, comparison.reference, comparison.prediction)
    second = (comparison.second_question, comparison.second_prediction)
    has_aspect = comparison.aspect is None or comparison.aspect in list(Aspect)
    return (
        has_aspect
        and all(isinstance(text, str) for text in texts)
        and all(isinstance(text, str | None) for text in second)
    )


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn errors of writing into messages that name the file, which the system's error of a full disk does not.

    Raises:
        ValueError: the file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"{path} cannot be written: {error.strerror}; once it can, the same command goes on from what is stored"
        ) from error
