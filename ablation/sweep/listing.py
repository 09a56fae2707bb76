"""What a sweep would do, job by job, without beginning it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from ablation.sweep.display import duration, progress
from ablation.sweep.jobs import Job
from ablation.sweep.journal import Event
from ablation.sweep.standing import Standing, stages_left
from datamodules.printable import table


@dataclass(frozen=True)
class _Line:
    """A training: what would be done, from which step, of how many, and what it has reached."""

    state: str
    done: int
    of: int | None
    figure: str

    def cells(self) -> list[str]:
        return [self.state, f"{self.done:,}", "?" if self.of is None else f"{self.of:,}", self.figure]


def listing(
    jobs: Sequence[Job],
    standings: Mapping[str, Standing],
    steps: Mapping[str, int],
    events: Sequence[Event],
    keys: Mapping[str, str],
    queue: Mapping[str, str],
) -> str:
    """Return a line per job, and below that of a chain one per stage.

    Args:
        jobs: of the sweep.
        standings: training -> where it stands, of all that is not before what is trained already.
        steps: training -> optimiser steps, where they are known.
        events: what happened to the trainings so far.
        keys: training -> what is the same of trainings that are one.
        queue: training -> where it is in the queue of a cluster, if it is.
    """
    latest = {event["job"]: event for event in events}
    counts = Counter(keys[stage.id] for job in jobs for stage in job.stages)
    first = {keys[stage.id]: job for job in reversed(jobs) for stage in job.stages}
    rows: list[list[str]] = []
    lines: dict[str, _Line] = {}
    for job in jobs:
        left = stages_left(job, standings)
        own = [
            _line(
                stage,
                standings.get(stage.id),
                stage not in left,
                steps.get(stage.id),
                latest.get(stage.id, {}),
                queue.get(stage.id, "") if stage.before is None or stage.prefix else "",
            )
            for stage in job.stages
        ]
        lines |= {keys[stage.id]: line for stage, line in zip(job.stages, own, strict=True)}
        rows.append([job.id, *_whole(own, len(left), queue.get(job.id, "")).cells()])
        for stage, line in zip(job.stages if job.in_chain else (), own, strict=job.in_chain):
            several = counts[keys[stage.id]]
            common = "" if several == 1 else f"for {several} jobs" if first[keys[stage.id]] is job else "as above"
            state, *others = line.cells()
            rows.append([f"- {stage.stage}", ", ".join(filter(None, (state, common))), *others])
    text = table(["job", "", "step", "of", "so far"], rows)
    took = [_took(stands) for stands in dict.fromkeys(each for each in standings.values() if each.finished)]
    missing = [None if line.of is None else line.of - line.done for line in lines.values()]
    if took and any(missing) and None not in missing:
        steps_missing = sum(each or 0 for each in missing)
        seconds = steps_missing * fmean(minutes * 60 / max(1, trained) for minutes, trained in took)
        text += f"\n{steps_missing:,} steps are missing: about {duration(seconds)}, one after the other"
    return text


def _line(stage: Job, stands: Standing | None, finished: bool, of: int | None, latest: Event, in_queue: str) -> _Line:
    if stands is None or finished:
        where = stands and f"{stands.folder.parent.name}/{stands.folder.name}"
        state = "finished" if where in (None, stage.id) else f"finished in {where}"
        reached = progress(stands.folder) if stands else None
        return _Line(state, of or (reached.step if reached else 0), of, reached.text() if reached else "")
    reached = progress(stands.folder)
    done = reached.step if stands.checkpoint or in_queue else 0
    state = in_queue or ("would go on" if done else "would begin")
    if latest.get("event") == "failed" and not in_queue:
        state += f", failed: {latest.get('how')}"
    return _Line(state, done, of, reached.text() if done else "")


def _whole(lines: Sequence[_Line], left: int, in_queue: str) -> _Line:
    """Return the line of a job: that of its next stage, with the steps of all."""
    following = lines[-left] if left else lines[-1]
    known = [line.of for line in lines if line.of is not None]
    state = following.state
    if left and left < len(lines):
        state = state.replace("would begin", "would go on")
    if left and in_queue:
        state = in_queue
    done = sum(line.done for line in lines)
    return _Line(state, done, sum(known) if len(known) == len(lines) else None, following.figure)


def _took(stands: Standing) -> tuple[float, int]:
    """Return minutes and steps of a finished run."""
    summary = json.loads((stands.folder / "summary.json").read_text(encoding="utf-8"))
    return summary["figures"].get("train/minutes", 0.0), summary["steps"]
