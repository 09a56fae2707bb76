"""The finished runs below the folders that are given, and what was left out and why."""

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
        folder: which.
        reason: why.
    """

    folder: Path
    reason: str


def find_runs(
    given: Sequence[Path], verb: Verb, judge: str | None = None, points: bool = False
) -> tuple[list[Run], list[LeftOut]]:
    """Return the finished runs, each once, and the folders that are none.

    Args:
        given: run folders, folders of an experiment's runs, or folders of these.
        verb: whether trainings or tests run by themselves are compared.
        judge: whose judgements say what is right; None: the comparison of the test itself.
        points: whether the judge's scores count instead.

    Raises:
        ValueError: what is given is not there, is no folder, or holds no finished run.
    """
    runs: dict[Path, Run] = {}
    left_out: dict[Path, LeftOut] = {}
    for folder in given:
        if not folder.is_dir():
            raise ValueError(
                f"{folder} " + ("is no folder" if folder.exists() else "does not exist") + "; give run folders, such as"
                " runs/full/seed_0, or folders of runs, such as runs"
            )
        for each in _below(folder):
            if each.resolve() in runs or each.resolve() in left_out:
                continue
            try:
                if not is_run(each):
                    raise LeftOutError("it is no run, and there is none in it")
                runs[each.resolve()] = read_run(each, verb, judge, points)
            except LeftOutError as error:
                left_out[each.resolve()] = LeftOut(each, str(error))
    if not runs:
        reasons = "; ".join(f"{each.folder}: {each.reason}" for each in list(left_out.values())[:5])
        raise ValueError(f"no finished run in {', '.join(map(str, given))}" + (f" ({reasons})" if reasons else ""))
    return list(runs.values()), list(left_out.values())


def _below(folder: Path, deeper: int = 2) -> Iterator[Path]:
    """Yield the run folders in a folder, by name, and the folders in which there is none."""
    if is_run(folder):
        yield folder
        return
    inside = sorted(filter(_may_hold_runs, folder.iterdir()), key=_by_number) if deeper else []
    if not inside:
        yield folder
    for each in inside:
        yield from _below(each, deeper - 1)


def _may_hold_runs(folder: Path) -> bool:
    """Whether it is a folder, and not that in which sweeps keep what happened to their jobs."""
    return folder.is_dir() and not (folder / ".locks").is_dir()


def _by_number(folder: Path) -> tuple[str, int]:
    """Return the key that puts seed_10 behind seed_9."""
    name, _, number = folder.name.rpartition("_")
    return (name, int(number)) if number.isdecimal() else (folder.name, -1)
