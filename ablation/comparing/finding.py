"""Search for finished runs below folders, with the reasons why other folders are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablation.comparing.answer_rows import LeftOutError
from ablation.comparing.run import Run, Verb, is_run, read_run


@dataclass(frozen=True)
class LeftOut:
    """A folder that is not compared.

    Attributes:
        folder: folder that is left out.
        reason: reason for it.
    """

    folder: Path
    reason: str


def find_runs(
    folders: Sequence[Path], verb: Verb, judge: str | None = None, points: bool = False
) -> tuple[list[Run], list[LeftOut]]:
    """Return the finished runs, each once, and the folders that are left out.

    Args:
        folders: run folders, folders of an experiment's runs, or folders of these.
        verb: kind of the compared runs: trainings, or tests that were run by themselves.
        judge: name of the judge that says what is right; None for the test's own comparison.
        points: whether to take the judge's scores instead.

    Raises:
        ValueError: a folder does not exist or is no folder, or there is no finished run.
    """
    runs: dict[Path, Run] = {}
    left_out: dict[Path, LeftOut] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(
                f"{folder} " + ("is no folder" if folder.exists() else "does not exist") + "; give run folders, such as"
                " runs/full/seed_0, or folders of runs, such as runs"
            )
        for path in _below(folder):
            if path.resolve() in runs or path.resolve() in left_out:
                continue
            try:
                if not is_run(path):
                    raise LeftOutError("it is no run, and there is none in it")
                runs[path.resolve()] = read_run(path, verb, judge, points)
            except LeftOutError as error:
                left_out[path.resolve()] = LeftOut(path, str(error))
    if not runs:
        reasons = "; ".join(f"{omitted.folder}: {omitted.reason}" for omitted in list(left_out.values())[:5])
        raise ValueError(f"no finished run in {', '.join(map(str, folders))}" + (f" ({reasons})" if reasons else ""))
    return list(runs.values()), list(left_out.values())


def _below(folder: Path, deeper: int = 2) -> Iterator[Path]:
    """Yield the run folders in a folder, sorted by name, and folders without any."""
    if is_run(folder):
        yield folder
        return
    inside = sorted(filter(_may_hold_runs, folder.iterdir()), key=_by_number) if deeper else []
    if not inside:
        yield folder
    for subfolder in inside:
        yield from _below(subfolder, deeper - 1)


def _may_hold_runs(folder: Path) -> bool:
    """Whether a path is a folder, but not that of the journals of sweeps."""
    return folder.is_dir() and not (folder / ".locks").is_dir()


def _by_number(folder: Path) -> tuple[str, int]:
    """Return the sort key that puts seed_10 after seed_9."""
    name, _, number = folder.name.rpartition("_")
    return (name, int(number)) if number.isdecimal() else (folder.name, -1)
