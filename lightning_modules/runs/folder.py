"""Run folders, `runs/<name>/seed_<n>`: the names of their files, and the folder of a new or resumed run."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from components.files import UNFINISHED, earlier, free_number
from lightning_modules.runs.lock import Lock

if TYPE_CHECKING:  # programs that read run folders need no Lightning
    from lightning import Trainer

# Files and folders of a run; `AnswerStore` names those of its answers.
CONFIG = "config.yaml"  # resolved configuration
ORIGIN = "origin.txt"  # config files of the run, and the changes of the experiment
HISTORY = "history.jsonl"  # who worked in the folder, when, and how it ended
DIFF = "uncommitted.diff"  # uncommitted changes of the code
STAGE_FILE = "stage.json"  # written by a chain into the folder of a stage before the stage begins
LOGGERS = "loggers.json"  # what services such as W&B know the run by
SUMMARY = "summary.json"  # final figures; a training that has it is finished
METRICS = "metrics.csv"  # all figures logged since the run was last resumed
_EARLIER_METRICS = "metrics.{}.csv"  # figures logged before that
CHECKPOINTS = "checkpoints"
LAST_CHECKPOINT = f"{CHECKPOINTS}/last.ckpt"
INTERRUPTED_CHECKPOINT = f"{CHECKPOINTS}/interrupted.ckpt"
SHARDS_META = "meta.pt"  # in a checkpoint that is a folder: all but the shards of tensors
ANSWERS = "answers"
JUDGEMENTS = "judgements"
LOCK_FILE = ".lock"  # held by the process that works in the folder
SWEEPS = "sweeps"  # beside the folders of experiments, so no experiment may have this name

RUN_NAME_PATTERN = re.compile(r"(?:(?P<verb>[a-z]+)_)?seed_(?P<seed>-?\d+)(?:\.(?P<attempt>\d+))?")  # a run folder
_UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # Unicode categories: control, format, surrogate, line, paragraph
LONGEST_NAME = 200  # bytes; file systems take 255, and names of sweeps' locks and logs are longer


def run_folder(trainer: Trainer) -> Path | None:
    """Return the folder of the run, whatever its loggers are; None for a `fast_dev_run`, which writes nothing.

    All processes must call this together: the first one sends the path to the others.
    """
    quick: bool | int = trainer.fast_dev_run  # type: ignore[attr-defined]  # set by a connector
    return None if quick else Path(trainer.strategy.broadcast(trainer.default_root_dir))


def checked_name(name: str, key: str = "name") -> str:
    """Return the name of a run or sweep if a folder beside those of other runs can have it.

    Raises:
        ValueError: no folder can have the name.
    """
    subject = f"{key} {name if len(name) <= LONGEST_NAME else f'{name[:40]}...'!r}"
    if not name.strip() or name.startswith(".") or name == SWEEPS:
        raise ValueError(f"{subject} cannot be that of a folder of its own; give another")
    odd = [letter for letter in name if letter in "/\\" or unicodedata.category(letter) in _UNPRINTABLE]
    if odd:
        raise ValueError(
            f"{subject} has {odd[0]!r} in it; a folder is named by it, without slashes or control characters"
        )
    if len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"{subject} has {len(name.encode())} bytes; give one of at most {LONGEST_NAME}")
    return name


def run_name(seed: int, verb: str = "fit") -> str:
    """Return the name of a run's first folder: `seed_<n>` for a training, `<verb>_seed_<n>` for another verb."""
    return f"seed_{seed}" if verb == "fit" else f"{verb}_seed_{seed}"


def attempts(experiment: Path, name: str) -> list[Path]:
    """Return the run folders of an experiment named `name`, `name.2`, `name.3` ..., the latest last."""
    numbers = {folder: folder.name.removeprefix(name) for folder in experiment.glob(f"{name}*")}
    numbered = [folder for folder, number in numbers.items() if re.fullmatch(r"(\.\d+)?", number)]
    return sorted(numbered, key=lambda folder: int(numbers[folder][1:] or 1))


def free_folder(root: Path, name: str, seed: int, verb: str) -> Path:
    """Return the folder of a new run, with `.2`, `.3` ... appended if earlier ones are in use.

    Raises:
        ValueError: `name` cannot be the name of a folder.
    """
    first = root / checked_name(name) / run_name(seed, verb)
    folders = (first if number == 1 else first.with_name(f"{first.name}.{number}") for number in count(1))
    return next(folder for folder in folders if not folder.exists() or (is_unused(folder) and not _is_held(folder)))


def is_unused(folder: Path) -> bool:
    """Whether no run has written anything into a folder; unfinished files of a killed process do not count."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else [""]
    return all(name in (STAGE_FILE, LOCK_FILE) or name.endswith(UNFINISHED) for name in names)


def _is_held(folder: Path) -> bool:
    """Whether a run is at work in a folder."""
    if not (folder / LOCK_FILE).exists():
        return False
    lock = Lock(folder / LOCK_FILE)
    try:
        return lock.is_held()
    finally:
        lock.release()


def resumed_folder(checkpoint: str | Path | None, verb: str) -> Path | None:
    """Return the run folder of the checkpoint that a training resumes from; None if it is not in one."""
    if checkpoint is None or verb != "fit":
        return None
    folder = Path(checkpoint).parent.parent
    return folder if (folder / CONFIG).is_file() else None


def is_checkpoint(path: Path) -> bool:
    """Whether there is a file or a checkpoint folder of this project, which any run reads, unlike one of DeepSpeed."""
    return path.is_file() or (path / SHARDS_META).is_file()


def newest_checkpoint(folders: Iterable[Path]) -> Path | None:
    """Return the newest checkpoint in run folders that a training can resume from; None if there is none."""
    named = [folder / name for folder in folders for name in (LAST_CHECKPOINT, INTERRUPTED_CHECKPOINT)]
    files = [*named, *map(earlier, named)]
    return max((file for file in files if file.exists()), key=lambda file: file.stat().st_mtime_ns, default=None)


def metrics_files(folder: Path) -> list[Path]:
    """Return the files with the logged figures of a run, the earliest first."""
    earlier = sorted(folder.glob(_EARLIER_METRICS.format("[0-9]*")), key=lambda file: (len(file.name), file.name))
    return [file for file in [*earlier, folder / METRICS] if file.is_file()]


def keep_metrics(folder: Path) -> None:
    """Rename the `metrics.csv` of a resumed run to `metrics.1.csv`, `.2` ..., since the logger would delete it."""
    if (folder / METRICS).is_file():
        number = free_number(folder, _EARLIER_METRICS)
        (folder / METRICS).rename(folder / _EARLIER_METRICS.format(number))
