"""Config files by name: the user's, or else the packaged ones, which are there wherever a command is given.

`experiments/no_lste.yaml` is the file of that name below the working folder, and where there is none the packaged one,
so that an installed program trains it from an empty folder. The same holds for every file in `configs` and
`experiments` that a command line, `base:`, a sweep or the program itself names. So the working folder lies on top of
the packaged files: with a `configs/scale/toy.yaml` of their own, users run packaged experiments at that scale.
"""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from datamodules.printable import say

PACKAGED = Path(__file__).parents[2]  # folder of the packaged files: the repository, also as it lies in the wheel
FOLDERS = ("configs", "experiments")


def found(file: str | Path) -> Path:
    """Return the file that a user or this program names, which is a packaged one where the working folder has none.

    A line on standard error says that a file is a packaged one. A name that is neither is returned as it is.
    """
    file = Path(file)
    name = None if _is_file(file) else _name_below(Path.cwd(), file)
    if name is None or not _is_file(PACKAGED / name):
        return file
    _say_once(f"{name}: the packaged file in {PACKAGED}")
    return PACKAGED / name


def beside(file: Path, name: str | Path) -> Path:
    """Return the file that a config file names relative to its folder; a user's has precedence over a packaged one.

    Args:
        file: config file, the user's or a packaged one.
        name: path relative to the folder of `file`; an absolute path is that of the file itself.
    """
    named = file.parent / name
    own = None if Path(name).is_absolute() else _name_below(PACKAGED, named)
    if own is None or not _is_file(own) or own.resolve() == named.resolve():
        return found(named)
    _say_once(f"{own}: the file of this folder, in place of the packaged one")
    return own


def packaged_files(folder: str | Path, pattern: str) -> list[Path]:
    """Return the files of a folder in `configs` or `experiments`, each name once: the user's, or the packaged one.

    The user's are relative to the working folder, the packaged ones absolute.
    """
    files = {file.relative_to(root): file for root in (PACKAGED, Path()) for file in (root / folder).glob(pattern)}
    return [files[name] for name in sorted(files)]


def did_you_mean(file: Path) -> str:
    """Return the end of an error about a file that does not exist: the one with the most similar name, if any.

    It is one of the same folder, or an experiment.
    """
    folders = {root / folder: folder for folder in (Path("experiments"), file.parent) for root in (PACKAGED, Path())}
    names = {
        known.stem: folder / known.name
        for place, folder in folders.items()
        if os.path.isdir(place)  # noqa: PTH112  (Path.is_dir raises where a name is too long)
        for known in place.glob("*.yaml")
    }
    close = get_close_matches(file.stem, names, n=1)
    return f"; did you mean {names[close[0]]}?" if close else ""


def _name_below(root: Path, file: Path) -> Path | None:
    """Return the path of a file in `configs` or `experiments` relative to the folder of these; None for another."""
    name = Path(os.path.relpath(Path.cwd() / file, root))
    return name if name.parts and name.parts[0] in FOLDERS else None


def _is_file(file: Path) -> bool:
    return os.path.isfile(file)  # noqa: PTH113  (Path.is_file raises where a name is too long)


@cache
def _say_once(line: str) -> None:
    say(line, file=sys.stderr)
