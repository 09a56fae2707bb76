"""The stages that each job of a sweep has, one after the other: by `stages:` in a file or by `--stages`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablation.sweep.jobs import StageFiles

Stages = tuple[tuple[StageFiles, ...], ...]


def typed_stages(stages: Sequence[str]) -> Stages:
    """Return stages as they are typed: files of one are joined by `+`, alternatives by commas.

    Raises:
        ValueError: a file does not exist, or two stages have one name.
    """
    return _checked([stage.split(",") for stage in stages], Path(), "--stages")


def listed_stages(stages: Any, path: Path) -> Stages:
    """Return stages as a sweep file lists them, relative to it; alternatives are a list in the list.

    Args:
        stages: content of the key.
        path: of the sweep file.

    Raises:
        ValueError: no such list, a file does not exist, or two stages have one name.
    """
    where = f"`stages` in {path}"
    listed = [each if isinstance(each, list) else [each] for each in stages] if isinstance(stages, list) else []
    if not listed or not all(each and all(isinstance(stage, str) for stage in each) for each in listed):
        raise ValueError(f"{where} is {stages!r}; it must be a list of files, each of a stage, or of lists of these")
    return _checked(listed, path.parent.resolve(), where)


def _checked(stages: Sequence[Sequence[str]], folder: Path, where: str) -> Stages:
    found = tuple(tuple(tuple(folder / file for file in stage.split("+")) for stage in each) for each in stages)
    every = [files for each in found for files in each]
    missing = [str(file) for files in every for file in files if not file.is_file()]
    if missing:
        raise ValueError(f"{where} names {', '.join(missing)}, which does not exist")
    twice = [name for name, count in Counter(files[0].stem for files in every).items() if count > 1]
    if twice:
        raise ValueError(
            f"{where} has two stages called {', '.join(twice)}; a stage is called like its first file: give one of them"
            " a file of its own, which may have the other as its `base`"
        )
    return found
