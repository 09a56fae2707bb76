"""A sweep that adds seeds until each of its rows is decided: better, worse, or not distinguishable from the baseline.

All rows begin with three seeds, and the baseline with two more. Then the table is looked at, and every undecided row
and the baseline get another seed, rows that seem to need the fewest seeds first; this is repeated until all rows are
decided by their overall scores. p values are corrected for the number of looks (`ablation.comparing.sequential`). Looks
are stored in `looks.json`, so that decisions remain, whatever stops the sweep.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ablation.comparing import decisions as record
from ablation.comparing.answer_rows import LeftOutError
from ablation.comparing.comparison import compare
from ablation.comparing.decisions import Decisions
from ablation.comparing.experiment import Experiment, compared_settings, middle
from ablation.comparing.obstacles import obstacles
from ablation.comparing.run import Run, read_run
from ablation.comparing.sequential import FIRST, LEAD
from ablation.stage_record import settings_hash
from ablation.sweep.display import counted, duration
from ablation.sweep.jobs import Job
from ablation.sweep.journal import Journal, UnwritableError, expected, measured, spent
from ablation.sweep.state import Plan, latest_trained

MANY = 2  # failed seeds after which a row gets no more


@dataclass(frozen=True)
class Until:
    """The limits of adding seeds.

    Attributes:
        most: maximum number of seeds of a row.
        smallest: smallest difference that matters, in percentage points.
        budget: maximum seconds of training; None for no limit.
    """

    most: int
    smallest: float
    budget: float | None = None


@dataclass(frozen=True)
class Next:
    """The next step of the sweep.

    Attributes:
        jobs: jobs to train.
        rows: rows to look at once no job is left to train.
        why: reasons why undecided rows get no more seeds, by name of the row.
    """

    jobs: Sequence[Job]
    rows: Sequence[str]
    why: Mapping[str, str]


class UntilDecided:
    """Chooses the next jobs, and looks at the table when they are finished.

    `jobs` are all possible ones, for every row those of seeds 0, 1, ... in this order; `at_once` run simultaneously.
    """

    def __init__(self, jobs: Sequence[Job], until: Until, plan: Plan, journal: Journal, at_once: int) -> None:
        """Read earlier decisions; nothing is written.

        Raises:
            ValueError: there is one row, a run would not be tested, or earlier decisions are about another table.
        """
        self.until, self.plan, self.journal, self.at_once = until, plan, journal, at_once
        self.rows: dict[str, list[Job]] = {}
        for job in jobs:
            self.rows.setdefault(job.name, []).append(job)
        if len(self.rows) < 2:
            raise ValueError(
                f"--until decided compares the rows of a sweep, and there is {next(iter(self.rows))} only: name a"
                " second experiment"
            )
        self.failed: dict[str, str] = {}  # reason by id of a job
        self._runs: dict[str, Run] = {}
        settings = {name: self._settings(row[0]) for name, row in self.rows.items()}
        digests = {name: settings_hash(row_settings) for name, row_settings in settings.items()}
        baseline = [*settings][middle([*settings.values()])]
        self.decisions = record.read(journal.folder) or Decisions(baseline, digests, until.smallest, until.most)
        self._check(digests)

    def _settings(self, job: Job) -> dict[str, Any]:
        *earlier, config = map(self.plan.configuration, job.stages)
        if not config.get("test_after_fit", True):
            raise ValueError(f"{job.name} has test_after_fit: false, and --until decided needs the answers to a test")
        names = [stage.stage for stage in job.stages[:-1]]
        return compared_settings(config, dict(zip(names, earlier, strict=True)))

    def _check(self, digests: Mapping[str, str]) -> None:
        before, now, rows = self.decisions, self.until, self.decisions.asked
        numbers = [("--max-seeds", before.most, now.most), ("--smallest", before.smallest, now.smallest)]
        differing = [f"{flag}: {then:g} -> {here:g}" for flag, then, here in numbers if then != here]
        differing += [f"rows: without {name}" for name in rows.keys() - digests.keys()]
        differing += [f"rows: with {name}" for name in digests.keys() - rows.keys()]
        both = rows.keys() & digests.keys()
        differing += [f"other settings of {name}" for name in both if rows[name] != digests[name]]
        if differing:
            raise ValueError(
                f"{self.journal.folder / record.FILE} is of another table, there -> here:"
                f" {'; '.join(sorted(differing))}. Give what was given there, or another --name"
            )

    def next(self) -> Next:
        """Return the next jobs to train, or rows to look at; neither if the sweep is done."""
        why: dict[str, str] = {}
        chosen: list[str] = []
        missing: dict[str, tuple[int, Job]] = {}
        baseline = self.decisions.baseline
        for name in self._nearest_first(self.decisions.undecided()):
            count = self.next_seeds(name)
            jobs, base = self._seeds(name, count), self._seeds(baseline, count, LEAD)
            given_up = [row for row in (baseline, name) if sum(job.id in self.failed for job in self.rows[row]) >= MANY]
            if given_up:
                why[name] = f"{MANY} seeds of {given_up[0]} failed"
            elif jobs is None or base is None:
                why[name] = f"there are no more seeds (--max-seeds {self.until.most})"
            else:
                more = {
                    job.id: (max(0, place), job)
                    for row, begins in ((base, -LEAD), (jobs, 0))
                    for place, job in enumerate(row, start=begins)
                    if job.id not in missing and self.finished(job) is None
                }
                if more and not self._fits([job for _, job in (*missing.values(), *more.values())]):
                    why[name] = "no further seed is expected to fit into the budget"
                else:
                    chosen.append(name)
                    missing |= more
        if not missing:
            return Next([], chosen, why)
        # Seed by seed, so that incomparable runs are noticed early.
        first = min(place for place, _ in missing.values())
        batch = [job for place, job in missing.values() if place == first]
        unknown = self.until.budget is not None and not self.seconds()
        return Next(batch[: self.at_once] if unknown else batch, chosen, why)

    def finished(self, job: Job) -> Run | None:
        """Return the finished run of a job; None if there is none, or its answers cannot be read."""
        is_read = job.id in self._runs or job.id in self.failed
        if not is_read and latest_trained(self.plan.runs, job.name, job.seed):
            state = self.plan.state(job)
            if state.finished:
                try:
                    self._runs[job.id] = read_run(state.folder, "fit")
                except LeftOutError as error:
                    self.failed[job.id] = f"{state.folder} is left out: {error}"
        return self._runs.get(job.id)

    def seconds(self) -> dict[str, float]:
        """Return the mean seconds of finished jobs by row, measured by this sweep or else recorded by the runs."""
        done = [job for row in self.rows.values() for job in row if job.id in self._runs]
        by_row: dict[str, list[float]] = {}
        for job in done:
            by_row.setdefault(job.name, []).append(60 * self._runs[job.id].figures.get("train/minutes", 0.0))
        own = {name: fmean(seconds) for name, seconds in by_row.items() if any(seconds)}
        return own | measured(done, self.journal.events())

    def left_of_budget(self) -> float:
        """Return the seconds that are left of the budget."""
        return math.inf if self.until.budget is None else self.until.budget - spent(self.journal.events())

    def _fits(self, jobs: Sequence[Job]) -> bool:
        left, seconds = self.left_of_budget(), self.seconds()
        return left > 0 and (not seconds or expected(jobs, seconds, self.at_once) <= left)

    def next_seeds(self, name: str) -> int:
        """Return the number of seeds of a row at its next look."""
        row = self.decisions.rows.get(name)
        return len(row.seeds) + 1 if row else FIRST

    def _seeds(self, name: str, count: int, more: int = 0) -> list[Job] | None:
        """Return the first jobs of a row that have not failed, those of its last look first.

        These are `count` jobs, or None if fewer are left, and up to `more` additional ones.
        """
        jobs: list[Job] = []
        for seed in dict.fromkeys((*self.decisions.seeds(name), *range(self.until.most))):
            job = self.rows[name][seed]
            if len(jobs) == count + more:
                break
            if self.finished(job) or job.id not in self.failed:  # `finished` adds to `failed`
                jobs.append(job)
        return jobs if len(jobs) >= count else None

    def _nearest_first(self, names: Sequence[str]) -> list[str]:
        """Return rows sorted by the number of seeds that they seem to need; rows without a look come first."""
        looks = self.decisions.rows
        return sorted(
            names, key=lambda name: looks[name].seeds_needed(self.decisions.smallest_share) if name in looks else 0.0
        )

    def look(self, names: Sequence[str]) -> list[str]:
        """Look at rows beside the last looks at all others, store the decisions, and return lines about these rows.

        Raises:
            UnwritableError: `looks.json` cannot be written.
            ValueError: a run that was looked at is gone.
        """
        before = self.decisions
        count = max(self.next_seeds(name) for name in names)
        jobs = {before.baseline: self._seeds(before.baseline, count, LEAD) or []}
        jobs |= {name: self._seeds(name, self.next_seeds(name)) or [] for name in names}
        others = [name for name in before.rows if name not in names]
        jobs |= {name: [self.rows[name][seed] for seed in before.seeds(name)] for name in others}
        experiments = {name: self._experiment(name, row_jobs) for name, row_jobs in jobs.items()}
        base = experiments[before.baseline]
        comparison = compare([*experiments.values()], base, before.smallest, False, looks=before.levels(names))
        self.decisions = before.with_look(comparison, names)
        try:
            self.decisions.write(self.journal.folder)
        except OSError as error:
            raise UnwritableError(self.journal.folder / record.FILE, error) from error
        return [f"{name}: {self.decisions.rows[name].line()}" for name in names]

    def _experiment(self, name: str, jobs: Sequence[Job]) -> Experiment:
        gone = [job.id for job in jobs if self.finished(job) is None]
        if gone:
            raise ValueError(
                f"{self.plan.runs / gone[0]} was looked at and is gone: put it back; or give another --name, and the"
                " table is looked at anew"
            )
        return Experiment(name, {job.seed: [self._runs[job.id]] for job in jobs})

    def check_comparable(self) -> None:
        """Check that the finished runs can be compared.

        Raises:
            ValueError: they cannot.
        """
        runs = [*self._runs.values()]
        problems = obstacles([Experiment(run.label, {run.seed: [run]}) for run in runs]) if runs else []
        if problems:
            raise ValueError(
                f"finished runs of this table cannot be compared: {'; '.join(problems)}. Move the older ones away, or"
                " give another --runs"
            )

    def summary(self) -> list[str]:
        """Return lines about decided and undecided rows, failures, costs, and how to compare the runs."""
        decisions, undecided, following = self.decisions, self.decisions.undecided(), self.next()
        rows = len(decisions.asked) - 1
        lines = [f"{rows - len(undecided)} of {rows} rows are decided, after {counted(decisions.looks, 'look')}:"]
        lines += [f"- {name}: {row.line()}" for name, row in decisions.rows.items() if row.decided]
        for name in undecided:
            so_far = decisions.rows[name].line() if name in decisions.rows else "not looked at"
            lines.append(f"- {name}: {so_far}; {following.why.get(name, 'it was stopped')}")
        lines += [f"without {job}, which failed: {why.splitlines()[0]}" for job, why in self.failed.items()]
        finished = sum(self.finished(job) is not None for row in self.rows.values() for job in row)
        trained = duration(spent(self.journal.events()))
        lines.append(f"{counted(finished, 'run')} in all; this sweep trained for {trained}")
        folders = " ".join(str(self.plan.runs / name) for name in decisions.asked)
        return [*lines, f"look at them with video-panda compare {folders}"]


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
