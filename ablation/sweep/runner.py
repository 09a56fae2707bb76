"""Trains the jobs of a sweep on this machine, several at a time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ablation.sweep.display import Board, Row, display, duration
from ablation.sweep.jobs import Job, distinct_stages
from ablation.sweep.journal import Journal, UnwritableError
from ablation.sweep.state import Plan, progress
from ablation.sweep.training import Busy, Ending, Training, begin

POLL = 0.2  # seconds
LOOK = 2.0  # seconds between reads of the runs' metrics
BUSY = 5.0  # seconds between checks whether another process has finished a job
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Outcome:
    """The outcome of a sweep.

    Attributes:
        finished: ids of finished jobs.
        failed: reasons by id of failed jobs.
        stopped_by: number of the signal that stopped the sweep; 0 without one.
    """

    finished: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    stopped_by: int = 0


@dataclass(eq=False)
class _Stage:
    """The progress of a stage in this sweep; jobs with a common stage share it.

    Attributes:
        steps: number of optimiser steps; None if unknown.
        trained: whether it is finished.
        fails: number of failed tries.
        given_up_by: job with which all tries failed; None if there are tries left.
        pace: seconds per step; None before a step was measured.
    """

    steps: int | None
    trained: bool = False
    fails: int = 0
    given_up_by: Job | None = None
    pace: float | None = None


@dataclass
class _Running:
    job: Job
    training: Training
    slot: int
    began: float = field(default_factory=time.monotonic)
    pace_from: tuple[float, int] | None = None  # time and number of the first observed step of this try


class Runner:
    """Keeps `at_once` jobs running, retries failed ones, and lets runs save checkpoints when it is stopped.

    `steps` are the known numbers of optimiser steps by id of a training, `holds` descriptors of locks that runs share.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        plan: Plan,
        journal: Journal,
        steps: Mapping[str, int],
        at_once: int,
        retries: int,
        holds: tuple[int, ...] = (),
    ) -> None:
        """Set up without starting anything."""
        self.plan, self.journal, self.retries, self.holds = plan, journal, retries, holds
        self.environments, self.display = shares(at_once), display()
        self.waiting = list(jobs)
        self.running: list[_Running] = []
        self.outcome = Outcome()
        self._not_before: dict[Job, float] = {}
        self._rows: list[Row] = []
        self._looked = 0.0
        shared: dict[str, _Stage] = {}
        self._stages = {
            stage: shared.setdefault(plan.key(stage), _Stage(steps.get(stage.id))) for stage in distinct_stages(jobs)
        }

    def run(self) -> Outcome:
        """Train until nothing is left to do or a signal arrives.

        Raises:
            UnwritableError: a file of the sweep cannot be written; runs were stopped, and have saved checkpoints.
        """
        with self.display, noted_signals() as signals:
            passed_on = 0
            try:
                while self.running or (self.waiting and not signals):
                    if len(signals) > passed_on:
                        self._stop(first=passed_on == 0)
                        passed_on = len(signals)
                    elif not signals:
                        self._fill()
                    self._reap(stopped=bool(signals))
                    self.display.show(self._board())
                    time.sleep(POLL)
            except BaseException:
                for run in self.running:
                    run.training.stop()
                for run in self.running:
                    run.training.process.wait()
                    run.training.claim.release()
                raise
        self.outcome.stopped_by = signals[0] if signals else 0
        return self.outcome

    def _fill(self) -> None:
        for job in list(self.waiting):
            free = set(range(len(self.environments))) - {run.slot for run in self.running}
            if not free:
                return
            if time.monotonic() >= self._not_before.get(job, 0.0):
                self._begin(job, min(free))

    def _begin(self, job: Job, slot: int) -> None:
        for stage in job.stages:
            if other := self._stages[stage].given_up_by:
                self._failed(job, f"its stage {stage.stage}, which is that of {other.id} too, failed there")
                return
        try:
            training = begin(job, self.plan, self.journal, self.environments[slot], self.holds)
        except UnwritableError:
            raise
        except ValueError as error:
            self._failed(job, str(error))
            return
        if isinstance(training, Busy):
            if job not in self._not_before:
                busy = "it is" if training.stage is job else f"its stage {training.stage.id} is"
                self.display.say(f"waits     {job.id}: {busy} trained by another {'job or ' * job.in_chain}process")
            self._not_before[job] = time.monotonic() + BUSY
        elif isinstance(training, Training):
            self.waiting.remove(job)
            self.running.append(_Running(job, training, slot))
            for stage in training.stage.stages[:-1]:
                self._stages[stage].trained = True
            self.display.say(f"{'continues' if training.claim.continues else 'begins':<9} {training.stage.id}")
        else:
            self.waiting.remove(job)
            self._finished(job, training.folder, "before")

    def _reap(self, stopped: bool) -> None:
        for run in [run for run in self.running if run.training.process.poll() is not None]:
            self.running.remove(run)
            training, job, stage = run.training, run.job, run.training.stage
            ending = training.end(self.journal, stopped, self._stages[stage].fails + 1)
            if ending is Ending.FINISHED:
                self._stages[stage].trained = True
                took = f"in {duration(time.monotonic() - run.began)}"
                if stage is job:
                    self._finished(job, training.folder, took)
                else:
                    self.waiting.insert(0, job)  # for its next stage
                    self.display.say(f"finished  {stage.id} {took}; next is that of {job.id}")
            elif ending is Ending.STOPPED:
                self.waiting.append(job)
                self.display.say(f"stopped   {stage.id}")
            else:
                self.waiting.append(job)
                self._retry(job, training)

    def _retry(self, job: Job, training: Training) -> None:
        stage, failure = self._stages[training.stage], training.failure()
        stage.fails += 1
        if stage.fails <= self.retries:
            self.display.say(f"fails     {training.stage.id}: {failure}; is tried again")
            return
        stage.given_up_by = job
        where = "" if training.stage is job else f"{training.stage.id}: "
        times = f" in try {stage.fails}" if stage.fails > 1 else ""
        last_lines = "".join(f"\n    | {line}" for line in training.last_lines())
        self._failed(job, f"{where}{failure}{times}; its output is in {training.log}{last_lines}")

    def _failed(self, job: Job, why: str) -> None:
        self.waiting.remove(job)
        self.outcome.failed[job.id] = why
        self.display.say(f"failed    {job.id}: {why}")

    def _finished(self, job: Job, folder: Path, when: str) -> None:
        self.outcome.finished.append(job.id)
        figure = progress(folder).text()
        self.display.say(f"finished  {job.id} {when}{f', {figure}' if figure else ''}")

    def _stop(self, first: bool) -> None:
        for run in self.running:
            run.training.stop(signal.SIGTERM if first else signal.SIGKILL)
        if first and self.running:
            self.display.say(
                f"stopping  {len(self.running)} runs after the step that they are in; Ctrl-C again ends them at once"
            )

    def _board(self) -> Board:
        now = time.monotonic()
        if now - self._looked > LOOK or len(self._rows) != len(self.running):
            self._looked = now
            self._rows = [self._row(run, now) for run in self.running]
        finished, failed = len(self.outcome.finished), len(self.outcome.failed)
        return Board(self._rows, finished, failed, len(self.waiting), self._seconds_left())

    def _row(self, run: _Running, now: float) -> Row:
        job, stage, reached = run.job, run.training.stage, progress(run.training.folder)
        if reached.step and run.pace_from is None:
            run.pace_from = now, reached.step
        elif run.pace_from and reached.step > run.pace_from[1]:
            self._stages[stage].pace = (now - run.pace_from[0]) / (reached.step - run.pace_from[1])
        all_steps, pace = [self._stages[stage].steps for stage in job.stages], self._stages[stage].pace
        before, steps = _sum(all_steps[: job.stages.index(stage)]), _sum(all_steps)
        seconds = pace * max(0, steps - before - reached.step) if pace and steps and before is not None else None
        return Row(job.id, (before or 0) + reached.step, steps, reached.text(), seconds, stage.stage)

    def _seconds_left(self) -> float | None:
        """Return the expected remaining seconds at the mean pace so far; common stages of jobs count once."""
        running = {self._stages[stage] for run in self.running for stage in run.job.stages}
        waiting = {self._stages[stage] for stage in distinct_stages(self.waiting)}
        steps = _sum([stage.steps for stage in waiting - running if not stage.trained])
        paces = [stage.pace for stage in {*self._stages.values()} if stage.pace is not None]
        if not paces or steps is None or not all(row.steps for row in self._rows):
            return None
        pace = sum(paces) / len(paces)
        left = sum(row.seconds_left or pace * (row.steps or 0) for row in self._rows)
        return (left + pace * steps) / len(self.environments)


def _sum(numbers: Sequence[int | None]) -> int | None:
    """Return the sum of numbers; None if any of them is unknown."""
    addends = [number for number in numbers if number is not None]
    return sum(addends) if len(addends) == len(numbers) else None


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Catch the signals that would end this process; yields the list of signals received so far.

    Signals that this process ignores from its start, such as Ctrl-C in a background job, remain ignored.
    """
    received: list[int] = []
    caught = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda number, frame: received.append(number)) for number in caught}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def shares(jobs: int) -> list[dict[str, str]]:
    """Return environment variables that divide cores and GPUs among so many simultaneous runs; a single run has all.

    If there are more runs than GPUs, runs share GPUs. The user's number of threads is kept.
    """
    if jobs == 1:
        return [{}]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(1, cores // jobs))}
    gpus = _gpus()
    return [threads | ({"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)]} if gpus else {}) for slot in range(jobs)]


def _gpus() -> list[str]:
    """Return the names of the GPUs that this process may use."""
    import torch  # imported here, since nothing else in a sweep needs it

    if not torch.cuda.is_available():
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
