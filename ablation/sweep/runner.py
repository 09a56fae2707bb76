"""Trains the jobs of a sweep on this machine, some at a time."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from ablation.sweep.claim import Busy
from ablation.sweep.display import Board, Display, Row, duration, progress
from ablation.sweep.jobs import Job
from ablation.sweep.journal import Journal, UnwritableError
from ablation.sweep.standing import key
from ablation.sweep.training import Training, begin

POLL = 0.2  # seconds
LOOK = 2.0  # seconds between two looks at what runs have written
BUSY = 5.0  # seconds until it is asked again whether another process has finished a job
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Outcome:
    """How a sweep ended.

    Attributes:
        finished: names of jobs.
        failed: name of a job -> what is wrong with it.
        stopped_by: number of the signal that stopped it; 0 if none did.
    """

    finished: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    stopped_by: int = 0


@dataclass
class _Running:
    job: Job
    training: Training
    slot: int
    began: float = field(default_factory=time.monotonic)
    pace_from: tuple[float, int] | None = None  # when the first step of this try was seen, and which it was


class Runner:
    """Keeps as many jobs running as are allowed, tries again what fails, and stops them gently."""

    def __init__(
        self,
        jobs: Sequence[Job],
        configs: Mapping[str, Mapping[str, Any]],
        steps: Mapping[str, int],
        runs: Path,
        journal: Journal,
        environments: Sequence[Mapping[str, str]],
        retries: int,
        display: Display,
        holds: tuple[int, ...] = (),
    ) -> None:
        """Take everything; nothing is started yet.

        Args:
            jobs: to be trained, finished ones too.
            configs: training -> its configuration, of every stage of a job.
            steps: training -> optimiser steps, where they are known.
            runs: folder of all runs.
            journal: of the sweep.
            environments: one for each of the jobs at a time.
            retries: how many times a job that fails is tried again.
            display: to show it on.
            holds: descriptors of locks that the runs hold too.
        """
        self.configs, self.steps, self.runs, self.journal = configs, steps, runs, journal
        self.environments, self.retries, self.display, self.holds = environments, retries, display, holds
        self.waiting = list(jobs)
        self.running: list[_Running] = []
        self.outcome = Outcome()
        self._fails: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._rows: list[Row] = []
        self._looked = 0.0
        self._pace: dict[str, float] = {}  # seconds per step of each training that was seen to go on
        # What trainings of several jobs have in common is one.
        self._key = {stage.id: key(stage, configs) for job in jobs for stage in job.stages}
        self._trained: set[str] = set()
        self._given_up: dict[str, str] = {}  # stage -> job whose tries at it were in vain

    def run(self) -> Outcome:
        """Train until nothing is left to do, or a signal comes.

        Raises:
            UnwritableError: a file of the sweep cannot be written; runs were stopped, and have saved a checkpoint.
        """
        with self.display, Stopping() as stopping:
            passed_on = 0
            try:
                while self.running or (self.waiting and not stopping.times):
                    if stopping.times > passed_on:
                        self._stop(first=passed_on == 0)
                        passed_on = stopping.times
                    elif not stopping.times:
                        self._fill()
                    self._reap(stopped=bool(stopping.times))
                    self.display.show(self._board())
                    time.sleep(POLL)
            except BaseException:
                for each in self.running:
                    each.training.stop()
                for each in self.running:
                    each.training.process.wait()
                    each.training.claim.release()
                raise
        self.outcome.stopped_by = stopping.number
        return self.outcome

    def _fill(self) -> None:
        for job in list(self.waiting):
            free = set(range(len(self.environments))) - {each.slot for each in self.running}
            if not free:
                return
            if time.monotonic() < self._not_before.get(job.id, 0.0):
                continue
            vain = [stage for stage in job.stages if self._key[stage.id] in self._given_up]
            if vain:
                self.waiting.remove(job)
                other = self._given_up[self._key[vain[0].id]]
                self._failed(job, f"its stage {vain[0].stage}, which is that of {other} too, failed there")
                continue
            try:
                slot = min(free)
                begun = begin(job, self.configs, self.runs, self.journal, self.environments[slot], self.holds)
            except UnwritableError:
                raise
            except ValueError as error:
                self.waiting.remove(job)
                self._failed(job, str(error))
                continue
            if isinstance(begun, Busy):
                if job.id not in self._not_before:
                    it = "it is" if begun.stage is job else f"its stage {begun.stage.id} is"
                    self.display.say(f"waits     {job.id}: {it} trained by another {'job or ' * job.in_chain}process")
                self._not_before[job.id] = time.monotonic() + BUSY
                continue
            self.waiting.remove(job)
            if isinstance(begun, Training):
                self.running.append(_Running(job, begun, slot))
                self._trained |= {self._key[stage.id] for stage in begun.stage.stages[:-1]}
                self.display.say(f"{'continues' if begun.claim.continues else 'begins':<9} {begun.stage.id}")
            else:
                self._finished(job, begun.folder)

    def _reap(self, stopped: bool) -> None:
        for each in [each for each in self.running if each.training.process.poll() is not None]:
            self.running.remove(each)
            training, job, stage = each.training, each.job, each.training.stage
            training.claim.release()
            if training.ended_well():
                self.journal.append(stage.id, "finished", folder=training.folder)
                self._trained.add(self._key[stage.id])
                seconds = time.monotonic() - each.began
                if stage is job:
                    self._finished(job, training.folder, seconds)
                    continue
                self.waiting.insert(0, job)  # for its next stage
                self.display.say(f"finished  {stage.id} in {duration(seconds)}; next is that of {job.id}")
            elif stopped:
                self.journal.append(stage.id, "stopped", folder=training.folder)
                self.waiting.append(job)
                self.display.say(f"stopped   {stage.id}")
            else:
                self._retry(job, training)

    def _retry(self, job: Job, training: Training) -> None:
        stage, how = training.stage, training.how_it_ended()
        common = self._key[stage.id]
        self._fails[common] = tries = self._fails.get(common, 0) + 1
        self.journal.append(stage.id, "failed", folder=training.folder, how=how, tries=tries)
        if tries <= self.retries:
            self.waiting.append(job)
            self.display.say(f"fails     {stage.id}: {how}; is tried again")
            return
        times = f" in try {tries}" if tries > 1 else ""
        where = "" if stage is job else f"{stage.id}: "
        said = "".join(f"\n    | {line}" for line in training.last_lines())
        self._given_up[common] = job.id
        self._failed(job, f"{where}{how}{times}; all it said is in {training.log}{said}")

    def _failed(self, job: Job, why: str) -> None:
        self.outcome.failed[job.id] = why
        self.display.say(f"failed    {job.id}: {why}")

    def _finished(self, job: Job, folder: Path, seconds: float | None = None) -> None:
        self.outcome.finished.append(job.id)
        took = f" in {duration(seconds)}" if seconds is not None else " before"
        figure = progress(folder).text()
        self.display.say(f"finished  {job.id}{took}{f', {figure}' if figure else ''}")

    def _stop(self, first: bool) -> None:
        for each in self.running:
            each.training.stop(signal.SIGTERM if first else signal.SIGKILL)
        if first and self.running:
            self.display.say(
                f"stopping  {len(self.running)} runs after the step that they are in; Ctrl-C again ends them at once"
            )

    def _board(self) -> Board:
        now = time.monotonic()
        if now - self._looked > LOOK or len(self._rows) != len(self.running):
            self._looked = now
            self._rows = [self._row(each, now) for each in self.running]
        return Board(
            self._rows, len(self.outcome.finished), len(self.outcome.failed), len(self.waiting), self._seconds_left()
        )

    def _row(self, each: _Running, now: float) -> Row:
        job, stage, reached = each.job, each.training.stage, progress(each.training.folder)
        if reached.step and each.pace_from is None:
            each.pace_from = now, reached.step
        elif each.pace_from and reached.step > each.pace_from[1]:
            self._pace[stage.id] = (now - each.pace_from[0]) / (reached.step - each.pace_from[1])
        before, steps = self._steps(stage.stages[:-1]), self._steps(job.stages)
        pace = self._pace.get(stage.id)
        seconds = pace * max(0, steps - before - reached.step) if pace and steps and before is not None else None
        step = (before or 0) + reached.step if reached.step else before or 0
        return Row(job.id, step, steps, reached.text(), seconds, stage.stage)

    def _steps(self, stages: Sequence[Job]) -> int | None:
        """Return the steps of some stages together; None if one's are not known."""
        steps = [self.steps.get(stage.id) for stage in stages]
        return sum(known) if len(known := [each for each in steps if each is not None]) == len(steps) else None

    def _seconds_left(self) -> float | None:
        """Return how long it takes if what waits goes as fast as what ran; what jobs have in common is trained once."""
        running = {self._key[stage.id] for each in self.running for stage in each.job.stages}
        waiting = {
            self._key[stage.id]: self.steps.get(stage.id)
            for job in self.waiting
            for stage in job.stages
            if self._key[stage.id] not in self._trained | running
        }
        known = [steps for steps in waiting.values() if steps is not None]
        if not self._pace or len(known) < len(waiting) or not all(row.steps for row in self._rows):
            return None
        pace = sum(self._pace.values()) / len(self._pace)
        left = sum(row.seconds_left or pace * (row.steps or 0) for row in self._rows)
        return (left + pace * sum(known)) / len(self.environments)


class Stopping:
    """Within it, these signals end nothing, but are counted.

    Attributes:
        number: of the first signal; 0 if none came.
        times: how many came.
    """

    def __init__(self) -> None:
        self.number = 0
        self.times = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Listen; not to what this process was started deaf to, as a background job is to Ctrl-C."""
        for number in STOPPING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no longer."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = self.number or number
        self.times += 1
