"""The displays of a sweep: its runs, live in a terminal and as plain lines elsewhere, and its jobs for `--dry-run`."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from statistics import fmean
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ablation.sweep.jobs import Job, distinct_stages
from ablation.sweep.journal import Event
from ablation.sweep.state import Plan, State, progress
from components.files import read_object
from datamodules.printable import printable, say, table
from lightning_modules.runs.folder import SUMMARY

BETWEEN_LINES = 60.0  # seconds between lines about running jobs, if the output is not a terminal


class Lines(AbstractContextManager["Lines"]):
    """Prints events and progress as plain lines, for a file or a pipe."""

    def __init__(self) -> None:
        self._shown = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the display."""

    def say(self, line: str) -> None:
        """Print an event with the time of day."""
        say(f"{time.strftime('%H:%M:%S')}  {printable(line)}")

    def show(self, board: Board) -> None:
        """Print the progress of running jobs, at most every `BETWEEN_LINES` seconds."""
        if time.monotonic() - self._shown < BETWEEN_LINES:
            return
        self._shown = time.monotonic()
        for row in board.rows:
            parts = (row.progress(), row.figure, time_left(row.seconds_left))
            self.say(f"runs      {row.job}: {', '.join(part for part in parts if part)}")
        self.say(board.counts())


class LiveTable(Lines):
    """A live table at the bottom of a terminal, below the lines about events."""

    def __init__(self, console: Console | None = None) -> None:
        """Set the terminal; None for standard output."""
        # No refresh thread, since child processes are started from this one.
        self._live = Live(console=console or Console(), auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        """Start the display."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the table; lines about events stay."""
        self._live.stop()

    def say(self, line: str) -> None:
        """Print an event above the table."""
        self._live.console.print(Text(f"{time.strftime('%H:%M:%S')}  {printable(line)}"), soft_wrap=True)

    def show(self, board: Board) -> None:
        """Redraw the table."""
        self._live.update(drawn(board), refresh=True)


def drawn(board: Board) -> Group:
    """Return the table as a renderable of rich."""
    grid = Table(box=None, pad_edge=False, show_header=False)
    for row in board.rows:
        share = row.step / row.steps if row.steps else 0
        bar = "━" * round(20 * min(share, 1.0))
        grid.add_row(
            Text(printable(row.job)),
            Text(f"{bar:<20}"),
            Text(printable(row.progress())),
            Text(printable(row.figure)),
            time_left(row.seconds_left),
        )
    return Group(grid, Text(board.counts(), style="bold"))


def display() -> Lines:
    """Return the display for standard output."""
    return LiveTable() if sys.stdout.isatty() else Lines()


@dataclass(frozen=True)
class Row:
    """A job that is being trained.

    Attributes:
        job: id of the job.
        step: current step, counted over all stages of a chain.
        steps: number of steps of all stages; None if unknown.
        figure: latest figure as text.
        seconds_left: expected remaining seconds; None if unknown.
        stage: current stage of a chain; empty without one.
    """

    job: str
    step: int
    steps: int | None
    figure: str
    seconds_left: float | None
    stage: str = ""

    def progress(self) -> str:
        """Return the current step as text."""
        stage = f"{self.stage}: " * bool(self.stage)
        if not self.step:
            return f"{stage}starts"
        if self.steps is None:
            return f"{stage}step {self.step:,}"
        return f"{stage}tests" if self.step > self.steps else f"{stage}step {self.step:,} of {self.steps:,}"


@dataclass(frozen=True)
class Board:
    """The state of all jobs of a sweep.

    Attributes:
        rows: jobs that are being trained.
        finished: number of finished jobs.
        failed: number of failed jobs.
        waiting: number of waiting jobs.
        seconds_left: expected seconds until all jobs are finished; None if unknown.
    """

    rows: Sequence[Row]
    finished: int
    failed: int
    waiting: int
    seconds_left: float | None

    def counts(self) -> str:
        """Return the line with the numbers of jobs and the expected time."""
        counts = f"{self.finished} finished, {len(self.rows)} running, {self.waiting} waiting, {self.failed} failed"
        return f"{counts}; {time_left(self.seconds_left)}" if self.seconds_left is not None else counts


def time_left(seconds: float | None) -> str:
    """Return the remaining time as text; empty if unknown."""
    return "" if seconds is None else f"about {duration(seconds)} left"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 run`, `12 runs`."""
    return f"{number:,} {noun}{'s' if number != 1 else ''}"


def duration(seconds: float) -> str:
    """Return a duration as text: `40 s`, `12 min`, `3 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


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
