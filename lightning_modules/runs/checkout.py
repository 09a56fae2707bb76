"""Which state of the code runs, who started it, and when."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

OWN_FILE = Path(__file__)  # of the checkout that runs
STARTED_BY = "VIDEO_PANDA_STARTED_BY"  # environment variable: which job of what a training is
_SECONDS = 20  # for a checkout on a slow drive; nobody waits longer for a note
# As `git apply` reads it, whatever the user has set for their own eyes.
_PATCH = ("diff", "--binary", "--no-color", "--no-ext-diff", "--src-prefix=a/", "--dst-prefix=b/", "HEAD")


def started_by() -> dict[str, str]:
    """Return what started this process, if not a user at a terminal: a sweep or chain, a job of a cluster."""
    facts = {"started_by": os.environ.get(STARTED_BY), "cluster_job": os.environ.get("SLURM_JOB_ID")}
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        facts["cluster_job"] = f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID')}"
    return {key: value for key, value in facts.items() if value}


def utc_now() -> str:
    """Return the time as it is kept, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


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
    return None if commit is None or changes is None else Checkout(commit.decode().strip(), bool(changes.strip()))


def uncommitted(file: Path) -> bytes:
    """Return how the checkout of a source file differs from its commit, as a patch for `git apply`.

    New Python and YAML files are in it unless git ignores them; other new files, which may be anything, are not.
    """
    top = _git(file.parent, "rev-parse", "--show-toplevel")
    if top is None:
        return b""
    folder = Path(top.decode().strip())
    with tempfile.TemporaryDirectory() as place:
        # With an index of its own, in which new files stand without their content: that of the user stays as it is.
        index = {"GIT_INDEX_FILE": str(Path(place, "index"))}
        _git(folder, "read-tree", "HEAD", environment=index)
        new = _git(folder, "ls-files", "--others", "--exclude-standard", "-z", "--", "*.py", "*.yaml") or b""
        if names := [os.fsdecode(name) for name in new.split(b"\0") if name]:
            _git(folder, "add", "--intent-to-add", "--", *names, environment=index)
        return _git(folder, *_PATCH, environment=index) or b""


def _git(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> bytes | None:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, check=True, timeout=_SECONDS, env={**os.environ, **(environment or {})}
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
