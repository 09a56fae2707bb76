"""Where a run keeps its things: `runs/<name>/seed_<n>`, and what its last lines say."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from lightning_modules.clusters import HOW_SURE
from lightning_modules.interval import Interval

STAGE_FILE = "stage.json"  # what a chain writes into the folder of a stage before that begins


def free_folder(root: Path, name: str, seed: int, verb: str) -> Path:
    """Return the folder of a new run, with `.2`, `.3` ... appended when there is one already that has a run in it.

    A training goes to `seed_<n>`, another verb to `<verb>_seed_<n>`.
    """
    leaf = f"seed_{seed}" if verb == "fit" else f"{verb}_seed_{seed}"
    folder, count = root / name / leaf, 1
    while folder.exists() and not _is_free(folder):
        count += 1
        folder = root / name / f"{leaf}.{count}"
    return folder


def _is_free(folder: Path) -> bool:
    return folder.is_dir() and all(path.name == STAGE_FILE for path in folder.iterdir())


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
