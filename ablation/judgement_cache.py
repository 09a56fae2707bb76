"""Judgements on disk, by what was judged and by whom: what was asked once is not asked again, by any run.

One file per judge, to which a line is added for every reply. A process that is killed leaves at most one broken line,
which is left out and reported.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components.judges import Aspect, Comparison, JudgeIdentity, Judgement
from components.judges.base import BEST_SCORE


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
