"""`video-panda experiments`: the experiments and sweeps that can be trained here, with the question of each.

They are those in the folder `experiments` and those that are packaged with the program; where both have a file of one
name, that of the folder is used. A name is what `video-panda fit --config` or `video-panda sweep` takes.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

from datamodules.printable import say
from lightning_modules.config.packaged import PACKAGED, packaged_files
from lightning_modules.config.user_errors import ProgramParser, user_errors

EXPERIMENTS, SWEEPS = Path("experiments"), Path("experiments/sweeps")


def main(args: Sequence[str]) -> None:
    """Parse the command line, and print a line for each experiment and sweep."""
    parser = ProgramParser(
        prog="video-panda experiments", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args(args)
    with user_errors():
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        say("\n".join(listed(width)))


def listed(width: int | None = None) -> Iterator[str]:
    """Yield the lines of the list.

    Args:
        width: number of characters that a line may have; None for any.
    """
    by_name = {_name(file): file for file in packaged_files(EXPERIMENTS, "**/*.yaml")}
    sweeps = [name for name in by_name if name.is_relative_to(SWEEPS)]
    experiments = [name for name in by_name if name not in sweeps]
    longest = max(len(str(name)) for name in by_name)
    for title, names in (("video-panda fit --config", experiments), ("video-panda sweep", sweeps)):
        yield f"{title} ..."
        for name in names:
            where = "packaged" if by_name[name].is_absolute() else "this folder"
            line = f"  {name!s:<{longest}}  {where:<11}  {question(by_name[name])}".rstrip()
            yield line if width is None or len(line) <= width else f"{line[: width - 3]}..."
        yield ""
    yield f"The packaged files are in {PACKAGED}."


def question(file: Path) -> str:
    """Return the comment at the beginning of a config file, in one line; empty if there is none."""
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    return " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), lines))


def _name(file: Path) -> Path:
    return file.relative_to(PACKAGED) if file.is_absolute() else file
