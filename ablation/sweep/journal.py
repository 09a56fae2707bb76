"""The journal of a sweep: an append-only file of JSON lines, and the times of jobs according to it."""

from __future__ import annotations

import heapq
import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain, pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from ablation.sweep.jobs import Job
from components.files import read_lines

Event = dict[str, Any]
_BEGINS, _ENDS = {"begun", "continued"}, {"finished", "failed", "stopped"}


class UnwritableError(ValueError):
    """A file of the sweep itself cannot be written, so that no job can continue."""

    def __init__(self, path: Path, error: OSError) -> None:
        """Set the message with the file, the reason, and how to resume."""
        super().__init__(
            f"{path} cannot be written: {error.strerror}; what is trained so far is kept, and the same command goes on "
            "from there"
        )


class Journal:
    """`jobs.jsonl` in a sweep's folder. Each task of a cluster writes a file of its own, and all are read.

    It records the beginnings and ends of trainings. Only its run folder says whether a job is finished.
    """

    def __init__(self, folder: Path, task: str = "") -> None:
        """Set the sweep's folder, and the name of a task on a cluster, empty for the sweep itself."""
        self.folder = folder
        self.path = folder / (f"jobs.{task}.jsonl" if task else "jobs.jsonl")

    def open(self) -> None:
        """Create the folder, and remove an incomplete last line.

        Raises:
            UnwritableError: the file cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _cut_unfinished(self.path)
        except OSError as error:
            raise UnwritableError(self.path, error) from error

    def append(self, job: str, event: str, **facts: Any) -> None:
        """Append an event of a job.

        Raises:
            UnwritableError: the file cannot be written, as on a full disk.
        """
        row = {"job": job, "event": event, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **facts}
        try:
            _append(self.path, row)
        except OSError as error:
            raise UnwritableError(self.path, error) from error

    def events(self) -> list[Event]:
        """Return all events in order of time; an incomplete last line is ignored.

        Raises:
            ValueError: another line is not an event.
        """
        events = [event for path in sorted(self.folder.glob("jobs*.jsonl")) for event in _events(path)]
        return sorted(events, key=lambda event: str(event.get("at")))

    def begun(self, job: str) -> Path | None:
        """Return the run folder in which this sweep began and has not finished a job; None without one."""
        events = [event for event in self.events() if event["job"] == job and "folder" in event]
        return Path(events[-1]["folder"]) if events and events[-1]["event"] != "finished" else None


def _cut_unfinished(path: Path) -> None:
    with path.open("a+b") as file:
        file.seek(0)
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def _append(path: Path, row: Event) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, default=str) + "\n")


def _events(path: Path) -> list[Event]:
    """Return the events in the complete lines of a file."""
    return read_lines(path, _checked_event, "is not an event of a sweep")[0]


def _checked_event(event: Any) -> Event:
    for key, value in (("job", event["job"]), ("event", event["event"]), ("folder", event.get("folder", ""))):
        if not isinstance(value, str):
            raise ValueError(f"`{key}` is {value!r:.60}, which is not text")
    checked: Event = event
    return checked


def _tries(events: Sequence[Event]) -> dict[str, list[tuple[float, float]]]:
    """Return the begin and end times of tries by id of a training, without killed tries, whose end is unknown."""
    by_job: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event["event"] in _BEGINS | _ENDS:
            by_job[event["job"]].append(event)
    moments: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for job, job_events in by_job.items():
        for begun, ended in pairwise(job_events):
            if begun["event"] in _BEGINS and ended["event"] in _ENDS:
                moments[job].append((_seconds(begun), _seconds(ended)))
    return moments


def spent(events: Sequence[Event]) -> float:
    """Return the seconds during which a sweep has trained at least one job."""
    total, until = 0.0, 0.0
    for begun, ended in sorted(chain.from_iterable(_tries(events).values())):
        total += max(0.0, ended - max(begun, until))
        until = max(until, ended)
    return total


def measured(jobs: Sequence[Job], events: Sequence[Event]) -> dict[str, float]:
    """Return the mean seconds of finished jobs by row, including the stages that were trained for them."""
    seconds = {job: sum(ended - begun for begun, ended in moments) for job, moments in _tries(events).items()}
    rows: dict[str, list[float]] = defaultdict(list)
    for job in jobs:
        if job.id in seconds:
            rows[job.name].append(sum(seconds.get(stage.id, 0.0) for stage in job.stages))
    return {row: fmean(job_seconds) for row, job_seconds in rows.items()}


def expected(jobs: Sequence[Job], rows: Mapping[str, float], at_once: int) -> float:
    """Return the expected seconds of jobs, `at_once` of them at a time.

    `rows` has the mean seconds of at least one row; other rows are expected to take the mean of these.
    """
    usual = fmean(rows.values())
    ends = [0.0] * at_once
    for job in jobs:
        heapq.heapreplace(ends, ends[0] + rows.get(job.name, usual))
    return max(ends)


def _seconds(event: Event) -> float:
    try:
        return datetime.fromisoformat(str(event.get("at"))).timestamp()
    except ValueError:
        raise ValueError(f"jobs.jsonl: `at` of {event['job']} is {event.get('at')!r}, which is not a time") from None
