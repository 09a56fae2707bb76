"""Which jobs of a sweep a SLURM cluster has in its queue, as `squeue` tells."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from ablation.sweep.journal import Event

_SECONDS = 60  # for a cluster that is busy


def queued(events: Sequence[Event]) -> dict[str, str]:
    """Return job -> state and number of its task: `pending as 12_0`.

    A job that has none was not submitted, or its task has ended, or was cancelled; or there is no SLURM here.

    Args:
        events: what happened to the jobs so far.

    Raises:
        ValueError: the cluster does not answer.
    """
    jobs = {str(event.get("task")): str(event["job"]) for event in events if event["event"] == "submitted"}
    if not jobs or shutil.which("squeue") is None:
        return {}
    command = ["squeue", "--me", "--array", "--noheader", "--format=%i %T"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SECONDS).stdout
    except subprocess.SubprocessError as error:
        why = getattr(error, "stderr", None) or error
        raise ValueError(f"which jobs are in the queue is not known: {' '.join(str(why).split())}") from error
    states: dict[str, str] = {}
    for task, state in (line.split() for line in said.splitlines()):
        if task in jobs and (state == "RUNNING" or jobs[task] not in states):
            states[jobs[task]] = f"{state.lower()} as {task}"
    return states
