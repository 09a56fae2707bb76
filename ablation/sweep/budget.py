"""How long a sweep may take: what it has taken, and what further jobs are expected to take."""

from __future__ import annotations

import heapq
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from statistics import fmean

from ablation.sweep.jobs import Job
from ablation.sweep.journal import Event

_BEGINS, _ENDS = {"begun", "continued"}, {"finished", "failed", "stopped"}
_UNITS = {"h": 3600.0, "min": 60.0, "m": 60.0, "s": 1.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(h|min|m|s)\s*")


def seconds_of(text: str) -> float:
    """Return a time such as `2h`, `90min` or `1h 30min` in seconds.

    Raises:
        ValueError: it is none, or not above zero.
    """
    parts = _PART.findall(text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not seconds or _PART.sub("", text):
        raise ValueError(f"--budget is {text!r}; it must be a time such as 2h, 90min or 1h30min")
    return seconds


def tries(events: Sequence[Event]) -> dict[str, list[tuple[float, float]]]:
    """Return training -> when each try at it began and ended; of one that was killed nobody knows when.

    Args:
        events: what happened to the trainings, in its order.
    """
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    of_job: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event["event"] in _BEGINS | _ENDS:
            of_job[event["job"]].append(event)
    for job, happened in of_job.items():
        for begun, ended in pairwise(happened):
            if begun["event"] in _BEGINS and ended["event"] in _ENDS:
                found[job].append((_seconds(begun), _seconds(ended)))
    return dict(found)


def spent(events: Sequence[Event]) -> float:
    """Return for how many seconds a sweep has trained something, whatever its runs at a time."""
    total, until = 0.0, 0.0
    for begun, ended in sorted(each for several in tries(events).values() for each in several):
        total += max(0.0, ended - max(begun, until))
        until = max(until, ended)
    return total


def measured(jobs: Sequence[Job], events: Sequence[Event]) -> dict[str, float]:
    """Return row -> mean seconds of its finished jobs, with all their stages that were trained for them.

    Args:
        jobs: that are finished.
        events: what happened to the trainings.
    """
    took = {job: sum(ended - begun for begun, ended in each) for job, each in tries(events).items()}
    rows: dict[str, list[float]] = defaultdict(list)
    for job in jobs:
        if job.id in took:
            rows[job.name].append(sum(took.get(stage.id, 0.0) for stage in job.stages))
    return {row: fmean(each) for row, each in rows.items()}


def expected(jobs: Sequence[Job], rows: Mapping[str, float], at_once: int) -> float:
    """Return how many seconds jobs take, some at a time, each begun as soon as there is room.

    Args:
        jobs: in their order.
        rows: row -> mean seconds, of one row at least; others are expected to take the mean of these.
        at_once: how many run at a time.
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
        raise ValueError(f"jobs.jsonl: `at` of {event['job']} is {event.get('at')!r}, which is no time") from None
