"""`stage.json`: what makes a stage of a chain the one that another chain needs too, and what it started from, by hash.

It is written before the stage begins. The hash of its configuration has that of the stage before in it, as a commit's
has; so two stages with the same hash learn the same from the same, and one of them is enough.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from components.whole_file import write_whole
from lightning_modules.runs.folder import STAGE_FILE


@dataclass(frozen=True)
class Start:
    """The checkpoint that a stage started from.

    Attributes:
        checkpoint: its file, in the run folder of the stage before.
        sha256: of the whole file, as of `sha256sum`.
        configuration: hash of the configuration of the stage before.
    """

    checkpoint: str
    sha256: str
    configuration: str

    def folder(self, runs: Path) -> Path:
        """Return the run folder of the stage before, wherever all runs are now."""
        return runs.joinpath(*Path(self.checkpoint).parts[-4:-2])


@dataclass(frozen=True)
class StageRecord:
    """What a stage is.

    Attributes:
        configuration: hash of its configuration and of what it starts from.
        starts_from: the stage before; None for the first one.
        checkpoint_sha256: of its last checkpoint, since a later stage started from it first.
    """

    configuration: str
    starts_from: Start | None = None
    checkpoint_sha256: str | None = None

    def write(self, folder: Path) -> None:
        """Write it into a run folder, which is made.

        Raises:
            OSError: it cannot be written.
        """
        write_whole(folder / STAGE_FILE, json.dumps(asdict(self), indent=2) + "\n")


def read_record(folder: Path) -> StageRecord | None:
    """Return the record in a run folder; None if there is none.

    Raises:
        ValueError: it cannot be read.
    """
    path = folder / STAGE_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        start = content.pop("starts_from")
        record = StageRecord(starts_from=None if start is None else Start(**start), **content)
        texts = [record.configuration, record.checkpoint_sha256 or ""]
        texts += asdict(record.starts_from).values() if record.starts_from else []
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("hashes and names of files must be texts")
        return record
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is no record of a stage: {error!r}; move its folder away to train it anew") from None


def recorded(runs: Path, seed: int, configuration: str) -> list[Path]:
    """Return the run folders, of whatever name, whose record has this hash.

    Raises:
        ValueError: a record cannot be read.
    """
    folders = sorted(path.parent for path in runs.glob(f"*/seed_{seed}*/{STAGE_FILE}"))
    return [
        folder
        for folder in folders
        if folder.stem == f"seed_{seed}" and (found := read_record(folder)) and found.configuration == configuration
    ]


def sha256_of(file: Path) -> str:
    """Return the hash of a file, which is read again only if its size or time of change is another.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        facts = file.stat()
        return _sha256(file, facts.st_size, facts.st_mtime_ns)
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from error


@lru_cache
def _sha256(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
