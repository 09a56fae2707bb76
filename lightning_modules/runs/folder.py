"""Run folders, `runs/<name>/seed_<n>`: what each file in them is called, and which folder a run goes to."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from components.files import UNFINISHED, free_number
from lightning_modules.runs.lock import Lock

if TYPE_CHECKING:  # programs that read run folders need no Lightning
    from lightning import Trainer

# Files and folders of a run; those of its answers are named by `AnswerStore`.
CONFIG = "config.yaml"  # resolved configuration
ORIGIN = "origin.txt"  # config files of the run, and what the experiment changes
HISTORY = "history.jsonl"  # who worked in the folder, when, and how it ended
DIFF = "uncommitted.diff"  # how the code differed from its commit
STAGE_FILE = "stage.json"  # what a chain writes into the folder of a stage before that begins
SUMMARY = "summary.json"  # final figures; a training that has it is finished
METRICS = "metrics.csv"  # all logged figures since the run last went on
_EARLIER_METRICS = "metrics.{}.csv"  # those before that
CHECKPOINTS = "checkpoints"
LAST_CHECKPOINT = f"{CHECKPOINTS}/last.ckpt"
INTERRUPTED_CHECKPOINT = f"{CHECKPOINTS}/interrupted.ckpt"
ANSWERS = "answers"
JUDGEMENTS = "judgements"
LOCK_FILE = ".lock"  # held by the process that works in the folder
SWEEPS = "sweeps"  # beside the folders of experiments, none of which can be called so

RUN_NAME_PATTERN = re.compile(r"(?:(?P<verb>[a-z]+)_)?seed_(?P<seed>-?\d+)(?:\.(?P<attempt>\d+))?")  # of a run folder
_UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # Unicode categories: control, format, surrogate, line, paragraph
LONGEST_NAME = 200  # bytes; a file system takes 255, and locks and logs of sweeps are called by the name and more


def run_folder(trainer: Trainer) -> Path | None:
    """Return the folder of the run, whatever its loggers are; None for a `fast_dev_run`, which leaves nothing.

    All processes must call this together: the first one decides where a run is, and the others wait for it.
    """
    quick: bool | int = trainer.fast_dev_run  # type: ignore[attr-defined]  # set by a connector
    return None if quick else Path(trainer.strategy.broadcast(trainer.default_root_dir))


def checked_name(name: str, key: str = "name") -> str:
    """Return the name of a run or sweep, which is that of a folder.

    Raises:
        ValueError: no folder can be called so, or it would be another than one directly in the folder of all runs.
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
    """Return what a run's first folder is called: `seed_<n>` for a training, `<verb>_seed_<n>` for another verb."""
    return f"seed_{seed}" if verb == "fit" else f"{verb}_seed_{seed}"


def attempts(experiment: Path, name: str) -> list[Path]:
    """Return the run folders of an experiment that are called `name`, `name.2`, `name.3` ..., the latest last."""
    numbers = {folder: folder.name.removeprefix(name) for folder in experiment.glob(f"{name}*")}
    numbered = [folder for folder, number in numbers.items() if re.fullmatch(r"(\.\d+)?", number)]
    return sorted(numbered, key=lambda folder: int(numbers[folder][1:] or 1))


def free_folder(root: Path, name: str, seed: int, verb: str) -> Path:
    """Return the folder of a new run, with `.2`, `.3` ... appended if there is one already that has a run in it.

    Raises:
        ValueError: no folder can be called `name`.
    """
    first = root / checked_name(name) / run_name(seed, verb)
    folders = (first if number == 1 else first.with_name(f"{first.name}.{number}") for number in count(1))
    return next(folder for folder in folders if not folder.exists() or (is_unused(folder) and not _is_held(folder)))


def is_unused(folder: Path) -> bool:
    """Whether no run has left anything in a folder; what a killed process did not finish is nothing."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else [""]
    return all(name in (STAGE_FILE, LOCK_FILE) or name.endswith(UNFINISHED) for name in names)


def _is_held(folder: Path) -> bool:
    """Whether a run works in a folder now."""
    if not (folder / LOCK_FILE).exists():
        return False
    lock = Lock(folder / LOCK_FILE)
    try:
        return lock.is_held()
    finally:
        lock.release()


def resumed_folder(checkpoint: str | Path | None, verb: str) -> Path | None:
    """Return the run folder that a training goes on in, when its checkpoint lies in one."""
    if checkpoint is None or verb != "fit":
        return None
    folder = Path(checkpoint).parent.parent
    return folder if (folder / CONFIG).is_file() else None


def newest_checkpoint(folders: Iterable[Path]) -> Path | None:
    """Return the newest checkpoint in run folders that a training can go on from; None if there is none."""
    files = [folder / name for folder in folders for name in (LAST_CHECKPOINT, INTERRUPTED_CHECKPOINT)]
    return max((file for file in files if file.exists()), key=lambda file: file.stat().st_mtime_ns, default=None)


def metrics_files(folder: Path) -> list[Path]:
    """Return the files with the logged figures of a run, the earliest first."""
    earlier = sorted(folder.glob(_EARLIER_METRICS.format("[0-9]*")), key=lambda file: (len(file.name), file.name))
    return [file for file in [*earlier, folder / METRICS] if file.is_file()]


def keep_metrics(folder: Path) -> None:
    """Rename the `metrics.csv` of a run that goes on to `metrics.1.csv`, `.2` ...: the logger would delete it."""
    if (folder / METRICS).is_file():
        number = free_number(folder, _EARLIER_METRICS)
        (folder / METRICS).rename(folder / _EARLIER_METRICS.format(number))
