"""What a sweep would do, job by job, without beginning it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import fmean

from ablation.sweep.board import duration
from ablation.sweep.jobs import Job
from ablation.sweep.journal import Event
from ablation.sweep.progress import progress
from ablation.sweep.standing import Standing
from lightning_modules.costs.table import table


def listing(
    jobs: Sequence[Job],
    standings: Mapping[str, Standing],
    steps: Mapping[str, int],
    events: Sequence[Event],
    queue: Mapping[str, str],
) -> str:
    """Return a line per job: what would be done, from which step, of how many, and what it has reached.

    Args:
        jobs: of the sweep.
        standings: job -> where it stands.
        steps: job -> optimiser steps of its training, where they are known.
        events: what happened to the jobs so far.
        queue: job -> where it is in the queue of a cluster, if it is.
    """
    latest = {event["job"]: event for event in events}
    rows, seconds, paces, missing = [], [], [], 0
    for job in jobs:
        stands, of = standings[job.id], steps.get(job.id)
        reached = progress(stands.folder)
        done = reached.step if stands.finished or stands.checkpoint or job.id in queue else 0
        state = "finished" if stands.finished else "would go on" if done else "would begin"
        if stands.finished:
            done = of or done
            minutes, trained = _took(stands)
            seconds.append(minutes * 60)
            paces.append(minutes * 60 / max(1, trained))
        elif job.id in queue:
            state = queue[job.id]
        elif (last := latest.get(job.id, {})).get("event") == "failed":
            state += f", failed: {last.get('how')}"
        missing += (of or 0) - done
        rows.append([job.id, state, f"{done:,}", "?" if of is None else f"{of:,}", reached.text() if done else ""])
    text = table(["job", "", "step", "of", "so far"], rows)
    if paces and missing and all(job.id in steps for job in jobs):
        text += f"\n{missing:,} steps are missing: about {duration(missing * fmean(paces))}, one after the other"
    return text


def _took(stands: Standing) -> tuple[float, int]:
    """Return minutes and steps of the last try of a finished run; the minutes of one that was continued are fewer."""
    summary = json.loads((stands.folder / "summary.json").read_text(encoding="utf-8"))
    return summary["figures"].get("train/minutes", 0.0), summary["steps"]
