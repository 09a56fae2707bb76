"""`stage.json`: hashes of a stage's configuration and of its starting checkpoint, so that chains can share stages.

It is written before the stage begins. Like a commit's, the hash of its configuration includes that of the stage before;
so two stages with the same hash learn the same from the same start, and one training is enough.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.files import content_hash, write_whole
from lightning_modules.config.chain import ConfigChainError, read_config
from lightning_modules.runs.folder import CONFIG, STAGE_FILE, run_name

COMPARED = ("model", "data", "trainer", "seed_everything", "init_partially")
# Settings of where and how fast a stage runs, or of its logging, which do not affect what it learns. (The global batch
# size is the same on any number of devices.) The start of a stage (`init_from`, `ckpt_path`) and whether it is tested
# follow from its place in the chain.
IGNORED = (
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.default_root_dir",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "trainer.logger",
    "data.init_args.workers",
    "data.init_args.frame_cache",
    "model.feature_cache",
    "model.metrics",
)


@dataclass(frozen=True)
class Start:
    """The checkpoint that a stage started from.

    Attributes:
        checkpoint: path of the file, in the run folder of the stage before.
        sha256: SHA-256 of the file, as by `sha256sum`.
        configuration: hash of the configuration of the stage before.
    """

    checkpoint: str
    sha256: str
    configuration: str

    def folder(self, runs: Path) -> Path:
        """Return the run folder of the stage before, even if the folder of all runs was moved."""
        return runs.joinpath(*Path(self.checkpoint).parts[-4:-2])


@dataclass(frozen=True)
class StageRecord:
    """The record of a stage in its run folder.

    Attributes:
        configuration: hash of its configuration and of its start.
        starts_from: checkpoint of the stage before; None for the first stage.
        checkpoint_sha256: hash of its last checkpoint, recorded when a later stage first starts from it.
    """

    configuration: str
    starts_from: Start | None = None
    checkpoint_sha256: str | None = None

    def write(self, folder: Path) -> None:
        """Write the record into a run folder, which is created.

        Raises:
            OSError: the file cannot be written.
        """
        write_whole(folder / STAGE_FILE, json.dumps(asdict(self), indent=2) + "\n")


def read_record(folder: Path) -> StageRecord | None:
    """Read the record in a run folder; None if there is none.

    Raises:
        ValueError: the record cannot be read.
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
        raise ValueError(
            f"{path} is not a record of a stage: {error!r}; move its folder away to train it anew"
        ) from None


def recorded(runs: Path, seed: int, configuration: str) -> list[Path]:
    """Return the run folders of any experiment whose record has this hash.

    Raises:
        ValueError: a record cannot be read.
    """
    name = run_name(seed)
    folders = sorted(path.parent for path in runs.glob(f"*/{name}*/{STAGE_FILE}"))
    records = {folder: read_record(folder) for folder in folders if folder.stem == name}
    return [folder for folder, record in records.items() if record and record.configuration == configuration]


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file, which is read again only if its size or modification time has changed.

    Raises:
        ValueError: the file cannot be read.
    """
    try:
        return content_hash(file)
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from error


def kept_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a run.

    Raises:
        ValueError: the run has no configuration, or it cannot be read.
    """
    try:
        return read_config(folder / CONFIG)
    except ConfigChainError as error:
        raise ValueError(f"it is not known what was trained in {folder}: {error}") from error


def stage_difference(kept: Mapping[str, Any], wanted: Mapping[str, Any], also: Sequence[str] = ()) -> list[str]:
    """Return one line per differing key, as `key: kept value -> wanted value`.

    Args:
        kept: configuration of a run.
        wanted: requested configuration.
        also: keys to compare beside those of `COMPARED`. Those of `IGNORED` are never compared.
    """
    old, new = (_decisive(config, also) for config in (kept, wanted))
    changes = {key: (old.get(key, "-"), new.get(key, "-")) for key in sorted(old.keys() | new.keys())}
    return [f"{key}: {before} -> {after}" for key, (before, after) in changes.items() if before != after]


def configuration_hash(config: Mapping[str, Any], start: str | None) -> str:
    """Return the SHA-256 of a stage's configuration and of its start.

    Args:
        config: configuration of the stage; the settings that `stage_difference` compares are hashed.
        start: hash of the configuration of the stage before, or of the checkpoint file that the first stage starts
            from; None without either.
    """
    return settings_hash({"settings": _decisive(config), "start": start})


def settings_hash(settings: Mapping[str, Any]) -> str:
    """Return the SHA-256 of settings, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


def _decisive(config: Mapping[str, Any], also: Sequence[str] = ()) -> dict[str, Any]:
    flat = _flat({key: config.get(key) for key in (*COMPARED, *also)})
    ignored = tuple(f"{name}." for name in IGNORED)
    return {key: value for key, value in flat.items() if not f"{key}.".startswith(ignored)}


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        leaves |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return leaves
