"""The plan of a sweep for `--dry-run`: its jobs, or the runs that remain until its rows are decided."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from ablation.comparing.sequential import LEAD
from ablation.sweep.display import counted, duration
from ablation.sweep.jobs import Job, distinct_stages
from ablation.sweep.journal import Event, expected
from ablation.sweep.state import Plan, State, progress
from ablation.sweep.until_decided import UntilDecided
from components.files import read_object
from datamodules.printable import table
from lightning_modules.runs.folder import SUMMARY


@dataclass(frozen=True)
class _Line:
    """A line of the listing: state of a training, steps done, all steps, and its latest figure."""

    state: str
    done: int
    of: int | None
    figure: str

    def cells(self) -> list[str]:
        return [self.state, f"{self.done:,}", "?" if self.of is None else f"{self.of:,}", self.figure]


def listing(
    jobs: Sequence[Job], plan: Plan, steps: Mapping[str, int], events: Sequence[Event], queue: Mapping[str, str]
) -> str:
    """Return a line per job, followed by a line per stage of a chain.

    `steps` are the known numbers of optimiser steps, `queue` the states in a cluster's queue, by id of a training.
    """
    keys = {stage: plan.key(stage) for stage in distinct_stages(jobs)}
    counts = Counter(keys[stage] for job in jobs for stage in job.stages)
    latest = {event["job"]: event for event in events}
    failures = {job: str(event.get("how")) for job, event in latest.items() if event["event"] == "failed"}
    rows: list[list[str]] = []
    lines: dict[str, _Line] = {}
    finished: dict[State, None] = {}
    for job in jobs:
        states = dict(plan.states(job))
        finished |= dict.fromkeys(state for state in states.values() if state.finished)
        own = []
        for stage in job.stages:
            state = states.get(stage)
            if state is None or state.finished:
                own.append(_finished(stage, state, steps.get(stage.id)))
            else:
                in_queue = queue.get(stage.id, "") if stage.before is None or stage.prefix else ""
                own.append(_unfinished(state, steps.get(stage.id), failures.get(stage.id), in_queue))
        left = sum(not state.finished for state in states.values())
        rows.append([job.id, *_whole(own, left, queue.get(job.id, "")).cells()])
        for stage, line in zip(job.stages if job.in_chain else (), own, strict=job.in_chain):
            count = counts[keys[stage]]
            common = "" if count == 1 else "as above" if keys[stage] in lines else f"for {count} jobs"
            state_cell, *others = line.cells()
            rows.append([f"- {stage.stage}", ", ".join(filter(None, (state_cell, common))), *others])
        lines |= {keys[stage]: line for stage, line in zip(job.stages, own, strict=True)}
    text = table(["job", "", "step", "of", "so far"], rows)
    missing = [None if line.of is None else line.of - line.done for line in lines.values()]
    if finished and any(missing) and None not in missing:
        steps_missing = sum(count or 0 for count in missing)
        seconds = steps_missing * fmean(map(_seconds_per_step, finished))
        text += f"\n{steps_missing:,} steps are missing: about {duration(seconds)}, one after the other"
    return text


def _finished(stage: Job, state: State | None, of: int | None) -> _Line:
    """Return the line of a finished stage; its state is None if it is no longer needed."""
    if state is None:
        return _Line("finished", of or 0, of, "")
    run, reached = f"{state.folder.parent.name}/{state.folder.name}", progress(state.folder)
    return _Line("finished" if run == stage.id else f"finished in {run}", of or reached.step, of, reached.text())


def _unfinished(state: State, of: int | None, failure: str | None, in_queue: str) -> _Line:
    reached = progress(state.folder)
    done = reached.step if state.checkpoint or in_queue else 0
    text = in_queue or ("would go on" if done else "would begin")
    if failure is not None and not in_queue:
        text += f", failed: {failure}"
    return _Line(text, done, of, reached.text() if done else "")


def _whole(lines: Sequence[_Line], left: int, in_queue: str) -> _Line:
    """Return the line of a job: that of its next stage, with the steps of all stages."""
    following = lines[-left] if left else lines[-1]
    state = following.state
    if left and left < len(lines):
        state = state.replace("would begin", "would go on")
    if left and in_queue:
        state = in_queue
    steps = [line.of for line in lines if line.of is not None]
    done = sum(line.done for line in lines)
    return _Line(state, done, sum(steps) if len(steps) == len(lines) else None, following.figure)


def _seconds_per_step(state: State) -> float:
    """Return the mean seconds per step of a finished run."""
    summary = read_object(state.folder / SUMMARY)
    seconds: float = 60.0 * summary["figures"].get("train/minutes", 0.0) / max(1, summary["steps"])
    return seconds


def outlook(sweep: UntilDecided) -> list[str]:
    """Return lines with the number and time of the remaining runs: at least, at most, and expected."""
    following, rows = sweep.next(), sweep.decisions.rows
    open_rows = [name for name in sweep.decisions.undecided() if name not in following.why]
    lines = [f"{name}: {why}" for name, why in following.why.items()]
    if not open_rows:
        return [*lines, "nothing is left to do"]
    most = sweep.until.most

    def runs(seeds: Callable[[str], int]) -> str:
        """Return the number and time of the runs that give all open rows this many seeds."""
        counts = {name: seeds(name) for name in open_rows}
        counts[sweep.decisions.baseline] = max(counts.values()) + LEAD
        jobs = [job for name, count in counts.items() for job in sweep.rows[name][:count]]
        missing = [job for job in jobs if sweep.finished(job) is None and job.id not in sweep.failed]
        seconds = sweep.seconds()
        time = f", about {duration(expected(missing, seconds, sweep.at_once))}" if seconds else ""
        return f"{counted(len(missing), 'run')}{time}"

    def likely(name: str) -> int:
        needed = rows[name].seeds_needed(sweep.decisions.smallest_share)
        return most if needed > most else max(sweep.next_seeds(name), math.ceil(needed))

    lines.append(f"at least: {runs(sweep.next_seeds)}, if the next look decides all that is open")
    lines.append(f"at most: {runs(lambda _: most)}, if nothing is decided before {most} seeds")
    if all(name in rows for name in open_rows):
        lines.append(f"expected: {runs(likely)}, if differences and their spread stay as they are")
    else:
        lines.append("expected: not known before the first look, at three seeds of each row")
    if not sweep.seconds():
        lines.append("how long a run takes is not known before the first is finished")
    if sweep.until.budget is not None:
        left = max(0.0, sweep.left_of_budget())
        lines.append(f"budget: {duration(left)} of {duration(sweep.until.budget)} are left")
    return lines
