"""The state of a run's code, and what started the run."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

OWN_FILE = Path(__file__)  # a file of the checkout that runs
STARTED_BY = "VIDEO_PANDA_STARTED_BY"  # environment variable that names the sweep or chain, and its job
_TIMEOUT = 20  # seconds, enough for a checkout on a slow drive
# The format that `git apply` reads, whatever the user has configured.
_PATCH = ("diff", "--binary", "--no-color", "--no-ext-diff", "--src-prefix=a/", "--dst-prefix=b/", "HEAD")


def started_by() -> dict[str, str]:
    """Return the sweep or chain and the cluster job that started this process; empty if a user did."""
    facts = {"started_by": os.environ.get(STARTED_BY), "cluster_job": os.environ.get("SLURM_JOB_ID")}
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        facts["cluster_job"] = f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID')}"
    return {key: value for key, value in facts.items() if value}


def utc_now() -> str:
    """Return the current time for records: ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Checkout:
    """The state of a git checkout.

    Attributes:
        commit: hash of the commit that is checked out.
        changed: whether files differ from that commit; new files count.
    """

    commit: str
    changed: bool


def checkout_of(file: Path) -> Checkout | None:
    """Return the checkout that a source file belongs to; None if there is none or git fails.

    An installed file may lie in the checkout of another project, which does not track it.
    """
    folder = file.parent
    if _git(folder, "ls-files", "--error-unmatch", "--", file.name) is None:
        return None
    commit, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain")
    return None if commit is None or changes is None else Checkout(commit.decode().strip(), bool(changes.strip()))


def uncommitted(file: Path) -> bytes:
    """Return the difference of a source file's checkout from its commit, as a patch for `git apply`.

    It contains new Python and YAML files unless git ignores them, and no other new files, which may be anything.
    """
    top = _git(file.parent, "rev-parse", "--show-toplevel")
    if top is None:
        return b""
    folder = Path(top.decode().strip())
    with tempfile.TemporaryDirectory() as temporary:
        # A temporary index lists the new files, so that the user's own index stays as it is.
        index = {"GIT_INDEX_FILE": str(Path(temporary, "index"))}
        _git(folder, "read-tree", "HEAD", environment=index)
        new = _git(folder, "ls-files", "--others", "--exclude-standard", "-z", "--", "*.py", "*.yaml") or b""
        if names := [os.fsdecode(name) for name in new.split(b"\0") if name]:
            _git(folder, "add", "--intent-to-add", "--", *names, environment=index)
        return _git(folder, *_PATCH, environment=index) or b""


def _git(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> bytes | None:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, check=True, timeout=_TIMEOUT, env={**os.environ, **(environment or {})}
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
