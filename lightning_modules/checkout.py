"""Which state of the code runs, where it runs from a git checkout."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 20  # for a checkout on a slow drive; nobody waits longer for a note


@dataclass(frozen=True)
class Checkout:
    """A commit.

    Attributes:
        commit: its hash.
        changed: whether files differ from it, new ones included.
    """

    commit: str
    changed: bool


def checkout_of(file: Path) -> Checkout | None:
    """Return the checkout that a source file is of; None if it is of none, or git cannot tell.

    An installed file may lie in a checkout of something else, which does not know it.
    """
    folder = file.parent
    if _git(folder, "ls-files", "--error-unmatch", "--", file.name) is None:
        return None
    commit, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain")
    return None if commit is None or changes is None else Checkout(commit, bool(changes))


def uncommitted(file: Path) -> str:
    """Return how files of the checkout of a source file differ from its commit, as a patch; new files are not in it."""
    changes = _git(file.parent, "diff", "--binary", "HEAD")
    return f"{changes}\n" if changes else ""


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
