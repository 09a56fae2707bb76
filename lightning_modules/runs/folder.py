"""Where a run keeps its things: `runs/<name>/seed_<n>`, and what its last lines say."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from components.whole_file import UNFINISHED
from lightning_modules.runs.lock import Lock
from lightning_modules.scoring.interval import HOW_SURE, Interval

if TYPE_CHECKING:  # programs that read run folders need no Lightning
    from lightning import Trainer

STAGE_FILE = "stage.json"  # what a chain writes into the folder of a stage before that begins
HISTORY = "history.jsonl"  # who worked in it, when, and how it ended
DIFF = "uncommitted.diff"  # how the code differed from its commit
LOCK_FILE = ".lock"  # held by the run that works in a folder
RESERVED = ("sweeps",)  # folders beside those of the runs
_ODD = ("Cc", "Cf", "Cs", "Zl", "Zp")  # categories of Unicode: control, format, surrogate, line, paragraph
LONGEST_NAME = 200  # bytes; a file system takes 255, and locks and logs of sweeps are called by the name and more


def run_folder(trainer: Trainer) -> Path | None:
    """Return the folder of the run, whatever its loggers are; None of a `fast_dev_run`, which leaves nothing.

    All processes must ask, or those that do wait: where a run is, the first one decides.
    """
    quick: bool | int = trainer.fast_dev_run  # type: ignore[attr-defined]  # set by a connector
    return None if quick else Path(trainer.strategy.broadcast(trainer.default_root_dir))


def checked_name(name: str, key: str = "name") -> str:
    """Return the name of a run or sweep, which is that of a folder.

    Raises:
        ValueError: no folder can be called so, or it would be another than one directly in the folder of all runs.
    """
    said = f"{key} {name if len(name) <= LONGEST_NAME else f'{name[:40]}...'!r}"
    if not name.strip() or name.startswith(".") or name in RESERVED:
        raise ValueError(f"{said} cannot be that of a folder of its own; give another")
    odd = [letter for letter in name if letter in "/\\" or unicodedata.category(letter) in _ODD]
    if odd:
        raise ValueError(f"{said} has {odd[0]!r} in it; a folder is named by it, without slashes or control characters")
    if len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"{said} has {len(name.encode())} bytes; give one of at most {LONGEST_NAME}")
    return name


def free_folder(root: Path, name: str, seed: int, verb: str) -> Path:
    """Return the folder of a new run, with `.2`, `.3` ... appended when there is one already that has a run in it.

    A training goes to `seed_<n>`, another verb to `<verb>_seed_<n>`.

    Raises:
        ValueError: no folder can be called `name`.
    """
    leaf = f"seed_{seed}" if verb == "fit" else f"{verb}_seed_{seed}"
    folder, count = root / checked_name(name) / leaf, 1
    while folder.exists() and (not is_unused(folder) or _is_held(folder)):
        count += 1
        folder = root / name / f"{leaf}.{count}"
    return folder


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
    return folder if (folder / "config.yaml").is_file() else None


def answered_folder(folder: str | Path | None, verb: str) -> Path | None:
    """Return the folder of a test or prediction whose answers are continued.

    Raises:
        ValueError: it is none, or something else is run.
    """
    if folder is None:
        return None
    if verb not in ("test", "predict"):
        raise ValueError(f"continue_answers goes with test and predict, not with {verb}")
    if not (Path(folder) / "answers" / f"{verb}.by.json").is_file():
        raise ValueError(f"continue_answers {folder} is no folder in which a {verb} began to answer")
    return Path(folder)


def keep_metrics(folder: Path) -> None:
    """Rename the `metrics.csv` of a run that goes on to `metrics.1.csv`, `.2` ...: the logger would delete it."""
    written = folder / "metrics.csv"
    if written.is_file():
        count = 1
        while (kept := folder / f"metrics.{count}.csv").exists():
            count += 1
        written.rename(kept)


def report(folder: Path, figures: Mapping[str, float], intervals: Mapping[str, Interval]) -> str:
    """Return the closing lines of a run: folder, final figures with the intervals they have, how to look at it."""
    width = max((len(name) for name in figures), default=0)
    lines = ["", f"run folder   {folder}"]
    for name, value in sorted(figures.items()):
        bounds = f" [{each.low:.4f}, {each.high:.4f}]" if (each := intervals.get(name)) else ""
        lines.append(f"  {name:<{width}}  {value:.4f}{bounds}")
    if intervals:
        lines.append(f"  in brackets: {HOW_SURE}")
    tensorboard = Path(sys.executable).parent / "tensorboard"
    if tensorboard.is_relative_to(Path.cwd()):
        tensorboard = tensorboard.relative_to(Path.cwd())
    lines += [f"look at it   {tensorboard} --logdir {folder.parent.parent}", ""]
    return "\n".join(lines)
