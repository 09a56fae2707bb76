"""Answers on disk: JSON lines keyed by question id, to which one process or several append."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.files import append_lines, free_number, json_lines, read_lines, read_object, write_whole
from lightning_modules.config.difference import difference
from lightning_modules.runs.folder import ANSWERS, SHARDS_META, is_checkpoint

if TYPE_CHECKING:
    from jsonargparse import Namespace

log = logging.getLogger(__name__)

Row = dict[str, Any]
_SPEED_ONLY = ("workers", "frame_cache", "batch_size", "eval_batch_size")  # data settings without influence on answers


class AnswerStore:
    """The answers of a split in a run folder, and the names of all files about them.

    Of several processes, the first writes `<split>.jsonl` and each other one `<split>.rank_<n>.jsonl`.
    `<split>.by.json` records the model and the data that produced the answers, `<split>_scores.json` their scores.

    Attributes:
        path: file of all answers.
        own: file that this process writes.
        by: file that records what produced the answers.
        scores: file of their scores.
    """

    def __init__(self, folder: Path, split: str, rank: int = 0) -> None:
        """Name the files without opening them.

        Args:
            folder: folder of the run's answers.
            split: `test` or `predict`.
            rank: rank of this process.
        """
        self.folder = folder
        self.split = split
        self.path = folder / f"{split}.jsonl"
        self.own = folder / f"{split}.rank_{rank}.jsonl" if rank else self.path
        self.by = folder / f"{split}.by.json"
        self.scores = folder / f"{split}_scores.json"

    @classmethod
    def of_run(cls, run: Path, split: str = "test", rank: int = 0) -> AnswerStore:
        """Return the answers in a run folder."""
        return cls(run / ANSWERS, split, rank)

    def files(self) -> list[Path]:
        """Return the files with answers: the common one, then those of other processes that are not joined yet."""
        ranks = sorted(self.folder.glob(f"{self.split}.rank_*.jsonl"))
        # Not those that were put aside, such as `test.rank_1.2.jsonl`.
        files = [self.path, *(file for file in ranks if file.stem.rpartition("_")[2].isdecimal())]
        return [file for file in files if file.is_file()]

    def begin(self, answer_settings: Mapping[str, Any], must_continue: bool) -> None:
        """Continue earlier answers if they have the same origin, otherwise put them aside; on the first process only.

        Args:
            answer_settings: configuration that the answers depend on.
            must_continue: whether earlier answers of another origin are an error.

        Raises:
            ValueError: answers that must be continued have another or an unknown origin; or a file cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        answer_settings = json.loads(json.dumps(answer_settings, default=str))
        if self.by.is_file():
            before = self._read_by()
            if before is None:
                self._check_nothing_is_lost(must_continue)
            elif not (different := difference(answer_settings, before)):
                self.join()
                return
            elif must_continue:
                raise ValueError(
                    f"continue_answers: {self.path} was answered otherwise, there -> here: {'; '.join(different)}"
                )
        self._put_aside()
        with self._explaining(self.by):
            write_whole(self.by, json.dumps(answer_settings, indent=2) + "\n")

    def _read_by(self) -> dict[str, Any] | None:
        """Return the origin of the earlier answers; None if its record is damaged."""
        try:
            return read_object(self.by)
        except ValueError:
            return None

    def _check_nothing_is_lost(self, must_continue: bool) -> None:
        """Refuse to put answers of unknown origin aside if they must be continued.

        Raises:
            ValueError: there are such answers.
        """
        if must_continue and any(file.stat().st_size for file in self.files()):
            raise ValueError(
                f"continue_answers: {self.by} is damaged, so it is not known what the answers beside it are by; put it "
                "back, or begin anew without continue_answers"
            )
        log.warning("%s is damaged and put aside", self.by)

    def answered(self) -> dict[str, Row]:
        """Return question id -> answer from the file of all answers."""
        return {str(row["id"]): row for row in read_rows(self.path)}

    def append(self, rows: Iterable[Row]) -> None:
        """Append answers to this process's file.

        Raises:
            ValueError: the file cannot be written, as on a full disk; earlier answers in it stay.
        """
        with self._explaining(self.own):
            append_lines(self.own, rows)

    def join(self) -> None:
        """Join the answers of all processes into one file, each question once, without incomplete lines.

        Raises:
            ValueError: the file cannot be written; the existing files stay.
        """
        files = self.files()
        others = [file for file in files if file != self.path]
        rows: dict[str, Row] = {}
        for file in files:
            for row in read_rows(file):
                rows.setdefault(str(row["id"]), row)
        if others or len(rows) != _count_lines(self.path):
            with self._explaining(self.path):
                write_whole(self.path, json_lines(rows.values()))
        for file in others:
            file.unlink()

    @contextmanager
    def _explaining(self, path: Path) -> Iterator[None]:
        """Name the file that cannot be written, which errors of a full disk do not, and say how to continue."""
        try:
            yield
        except OSError as error:
            raise ValueError(
                f"{path} cannot be written: {error.strerror}; answers so far are kept, and a test or prediction goes "
                f"on from them with --continue_answers={self.folder.parent}"
            ) from error

    def _put_aside(self) -> None:
        """Rename the files of answers by another model, so that they are neither lost nor mixed up."""
        names = {self.by: f"{self.split}.{{}}.by.json", self.scores: f"{self.scores.stem}.{{}}.json"}
        names |= {file: f"{file.stem}.{{}}.jsonl" for file in self.files()}
        number = free_number(self.folder, *names.values())
        for file, name in names.items():
            if file.exists():
                file.rename(self.folder / name.format(number))


def continued_folder(folder: str | Path | None, verb: str) -> Path | None:
    """Return the folder of a test or prediction whose answers are continued; None for None.

    Raises:
        ValueError: no answers were begun in the folder, or `verb` is neither `test` nor `predict`.
    """
    if folder is None:
        return None
    if verb not in ("test", "predict"):
        raise ValueError(f"continue_answers goes with test and predict, not with {verb}")
    if not AnswerStore.of_run(Path(folder), verb).by.is_file():
        raise ValueError(f"continue_answers {folder} is no folder in which a {verb} began to answer")
    return Path(folder)


def answer_settings(config: Namespace) -> dict[str, Any]:
    """Return the part of a run's configuration that its answers depend on."""
    data = config.data.as_dict()
    for key in _SPEED_ONLY:
        data["init_args"].pop(key, None)
    checkpoint = config.get("ckpt_path")
    model = config.model.as_dict()
    model.pop("metrics", None)  # computed from answers, which do not depend on them
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
    """Return size and modification time of a checkpoint; None if it does not exist or is a folder of DeepSpeed."""
    if checkpoint is None or not is_checkpoint(Path(checkpoint)):
        return None
    file = Path(checkpoint)
    status = (file if file.is_file() else file / SHARDS_META).stat()
    return [status.st_size, status.st_mtime_ns]


def read_rows(path: Path) -> list[Row]:
    """Return the answers in a file, without an incomplete last line; none if the file does not exist.

    Raises:
        ValueError: another line is not an answer.
    """
    if not path.is_file():
        return []
    rows, cut = read_lines(path, _with_id, "is not an answer")
    if cut:
        log.warning("%s ends in the middle of an answer, which is asked for again", path)
    return rows


def _with_id(row: Row) -> Row:
    row["id"]
    return row


def _count_lines(path: Path) -> int:
    """Return the number of lines of a file, complete or not; 0 if it does not exist."""
    return len([line for line in path.read_bytes().split(b"\n") if line]) if path.is_file() else 0
