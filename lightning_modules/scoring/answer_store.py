"""Answers on disk: JSON lines keyed by question id, only ever appended to, by one process or several."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from components.whole_file import write_whole
from lightning_modules.config.difference import difference

log = logging.getLogger(__name__)

Row = dict[str, Any]
_ONLY_HOW = ("workers", "frame_cache", "batch_size", "eval_batch_size")  # says how answers are worked out


class AnswerStore:
    """The answers of a split in a run's folder: `<split>.jsonl`, and `<split>.rank_<n>.jsonl` while others write too.

    Beside them stands what they are by, `<split>.by.json`, and what they come to, `<split>_scores.json`.
    """

    def __init__(self, folder: Path, split: str, rank: int = 0) -> None:
        """Name the files.

        Args:
            folder: of the run's answers.
            split: `test` or `predict`.
            rank: of this process.
        """
        self.folder = folder
        self.split = split
        self.path = folder / f"{split}.jsonl"
        self.own = folder / f"{split}.rank_{rank}.jsonl" if rank else self.path
        self.by = folder / f"{split}.by.json"
        self.scores = folder / f"{split}_scores.json"

    def begin(self, asked_by: Mapping[str, Any], must_continue: bool) -> None:
        """Continue answers that are there if they are by the same, else put them aside; on the first process only.

        Raises:
            ValueError: they are by another, or it is not known by what, and must be continued; or a file cannot be
                written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        asked_by = json.loads(json.dumps(asked_by, default=str))
        if self.by.is_file():
            before = self._read_by()
            if before is None:
                self._without_by(must_continue)
            elif not (different := difference(asked_by, before)):
                self.join()
                return
            elif must_continue:
                raise ValueError(
                    f"continue_answers: {self.path} was answered otherwise, there -> here: {'; '.join(different)}"
                )
        self._put_aside()
        with self._naming(self.by):
            write_whole(self.by, json.dumps(asked_by, indent=2) + "\n")

    def _read_by(self) -> dict[str, Any] | None:
        """Return what answers that are there are by; None if the file is cut or otherwise none."""
        try:
            content = json.loads(self.by.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            return None
        return content if isinstance(content, dict) else None

    def _without_by(self, must_continue: bool) -> None:
        """Let a test begin anew where it is not known what answers are by: nothing is lost if there are none.

        Raises:
            ValueError: there are some, and they must be continued.
        """
        files = [self.path, *self.folder.glob(f"{self.split}.rank_*.jsonl")]
        if must_continue and any(file.is_file() and file.stat().st_size for file in files):
            raise ValueError(
                f"continue_answers: {self.by} is damaged, so it is not known what the answers beside it are by; put it "
                "back, or begin anew without continue_answers"
            )
        log.warning("%s is damaged and put aside", self.by)

    def answered(self) -> dict[str, Row]:
        """Return question id -> answer of what is in the file of all."""
        return {str(row["id"]): row for row in read_rows(self.path)}

    def append(self, rows: Iterable[Row]) -> None:
        """Write answers at the end of this process's file.

        Raises:
            ValueError: the file cannot be written, as on a full disk; what is in it stays.
        """
        lines = _as_lines(rows)
        with self._naming(self.own), self.own.open("a", encoding="utf-8") as file:
            file.write(lines)

    def join(self) -> None:
        """Put the answers of all processes into one file, each question once; a killed process's last line may go.

        Raises:
            ValueError: the file cannot be written; those that are there stay.
        """
        others = sorted(self.folder.glob(f"{self.split}.rank_*.jsonl"))
        rows: dict[str, Row] = {}
        for path in (self.path, *others):
            for row in read_rows(path):
                rows.setdefault(str(row["id"]), row)
        if others or len(rows) != _lines(self.path):
            with self._naming(self.path):
                write_whole(self.path, _as_lines(rows.values()))
        for path in others:
            path.unlink()

    @contextmanager
    def _naming(self, path: Path) -> Iterator[None]:
        """Say which file cannot be written, and how to go on: the system names none when a disk is full."""
        try:
            yield
        except OSError as error:
            raise ValueError(
                f"{path} cannot be written: {error.strerror}; answers so far are kept, and a test or prediction goes "
                f"on from them with --continue_answers={self.folder.parent}"
            ) from error

    def _put_aside(self) -> None:
        """Rename answers by another model, so that they are neither lost nor mixed up."""
        count = 1
        while (self.folder / f"{self.split}.{count}.jsonl").exists():
            count += 1
        if self.path.exists():
            self.path.rename(self.folder / f"{self.split}.{count}.jsonl")
        if self.by.exists():
            self.by.rename(self.folder / f"{self.split}.{count}.by.json")
        if self.scores.exists():
            self.scores.rename(self.folder / f"{self.split}_scores.{count}.json")
        for path in self.folder.glob(f"{self.split}.rank_*.jsonl"):
            path.rename(path.with_suffix(f".{count}.jsonl"))


def asked_by(config: Namespace) -> dict[str, Any]:
    """Return what the answers of a run depend on, of its configuration."""
    data = config.data.as_dict()
    for key in _ONLY_HOW:
        data["init_args"].pop(key, None)
    checkpoint = config.get("ckpt_path")
    model = config.model.as_dict()
    model.pop("metrics", None)  # they are computed from answers, whenever those were given
    facts = {
        "model": model,
        "data": data,
        "precision": config.trainer.precision,
        "checkpoint": checkpoint and str(checkpoint),
        "checkpoint_written": _written(checkpoint),
    }
    if config.init_from is not None:
        facts |= {"init_from": str(config.init_from), "init_from_written": _written(config.init_from)}
    return facts


def _written(checkpoint: str | Path | None) -> list[int] | None:
    """Return size and time of change of a checkpoint; None of none, or of a folder."""
    if checkpoint is None or not Path(checkpoint).is_file():
        return None
    facts = Path(checkpoint).stat()
    return [facts.st_size, facts.st_mtime_ns]


def read_rows(path: Path) -> list[Row]:
    """Return the answers in a file, without a last line that was not written to its end.

    Raises:
        ValueError: another line is no answer.
    """
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")
    if lines.pop():
        log.warning("%s ends in the middle of an answer, which is asked for again", path)
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            row["id"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number} is not an answer: {error!r}") from None
        rows.append(row)
    return rows


def _as_lines(rows: Iterable[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _lines(path: Path) -> int:
    """Return the number of lines, whole or not."""
    return len([line for line in path.read_bytes().split(b"\n") if line]) if path.is_file() else 0
