"""Options of a sweep until rows are decided, what is left of it, and what it has come to."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence

from ablation.comparing.sequential import FIRST, LEAD
from ablation.sweep.display import duration
from ablation.sweep.jobs import Job
from ablation.sweep.journal import expected, seconds_of, spent
from ablation.sweep.until_decided import Until, UntilDecided
from lightning_modules.scoring.unit import PERCENT

MAX_SEEDS = 12


def outlook(sweep: UntilDecided) -> list[str]:
    """Return how many runs there are to come, and how long they take, at least, at most, and as it looks."""
    following, rows = sweep.next(), sweep.decisions.rows
    open_rows = [name for name in sweep.decisions.open() if name not in following.why]
    lines = [f"{name}: {why}" for name, why in following.why.items()]
    if not open_rows:
        return [*lines, "nothing is left to do"]
    most = sweep.until.most

    def runs(seeds: Callable[[str], int]) -> list[Job]:
        wanted = {name: seeds(name) for name in open_rows}
        wanted[sweep.decisions.baseline] = max(wanted.values()) + LEAD
        several = [job for name, count in wanted.items() for job in sweep.rows[name][:count]]
        return [job for job in several if sweep.finished(job) is None and job.id not in sweep.failed]

    def next_look(name: str) -> int:
        return sweep.next_seeds(name)

    def likely(name: str) -> int:
        needed = rows[name].seeds_needed(sweep.decisions.smallest_share)
        return most if needed > most else max(next_look(name), math.ceil(needed))

    lines.append(f"at least: {_took(sweep, runs(next_look))}, if the next look decides all that is open")
    lines.append(f"at most: {_took(sweep, runs(lambda _: most))}, if nothing is decided before {most} seeds")
    if all(name in rows for name in open_rows):
        lines.append(f"expected: {_took(sweep, runs(likely))}, if differences and their spread stay as they are")
    else:
        lines.append("expected: not known before the first look, at three seeds of each row")
    if not sweep.seconds():
        lines.append("how long a run takes is not known before the first is finished")
    if sweep.until.budget is not None:
        left = max(0.0, sweep.left_of_budget())
        lines.append(f"budget: {duration(left)} of {duration(sweep.until.budget)} are left")
    return lines


def came_to(sweep: UntilDecided) -> list[str]:
    """Return what was decided and what was not, and why not, what it cost, and where to look."""
    known = sweep.decisions
    undecided, following = known.open(), sweep.next()
    rows = len(known.asked) - 1
    lines = [f"{rows - len(undecided)} of {rows} rows are decided, after {_several(known.looks, 'look')}:"]
    lines += [f"- {name}: {row.line()}" for name, row in known.rows.items() if row.decided]
    for name in undecided:
        so_far = known.rows[name].line() if name in known.rows else "not looked at"
        lines.append(f"- {name}: {so_far}; {following.why.get(name, 'it was stopped')}")
    lines += [f"without {job}, which failed: {why.splitlines()[0]}" for job, why in sweep.failed.items()]
    done = [job for row in sweep.rows.values() for job in row if sweep.finished(job)]
    taken = spent(sweep.journal.events())
    lines.append(f"{_several(len(done), 'run')} in all; this sweep trained for {duration(taken)}")
    folders = " ".join(str(sweep.runs / name) for name in known.asked)
    lines.append(f"look at them with video-panda compare {folders}")
    return lines


def _took(sweep: UntilDecided, jobs: Sequence[Job]) -> str:
    seconds = sweep.seconds()
    time = f", about {duration(expected(jobs, seconds, sweep.at_once))}" if seconds else ""
    return f"{_several(len(jobs), 'run')}{time}"


def _several(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def add_until_options(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each."""
    parser.add_argument("--until", choices=["decided"], help="add seeds to each row until it is better, worse or not"
                        " distinguishable from the baseline")  # fmt: skip
    parser.add_argument("--max-seeds", type=int, help=f"with --until, seeds of a row at most; default {MAX_SEEDS}")
    parser.add_argument("--smallest", type=float, help="with --until, the difference that matters, in percentage"
                        f" points; default {PERCENT.smallest:g}")  # fmt: skip
    parser.add_argument("--budget", help="with --until, how long to train, such as 2h; what is in work is finished")


def until_options(known: argparse.Namespace) -> Until | None:
    """Return what is asked for; None without `--until`.

    Raises:
        ValueError: a flag goes only with it or not with it, or a number is none.
    """
    if known.until is None:
        for name, value in (
            ("--max-seeds", known.max_seeds),
            ("--smallest", known.smallest),
            ("--budget", known.budget),
        ):
            if value is not None:
                raise ValueError(f"{name} goes with --until decided, which is not given")
        return None
    if known.slurm is not None:
        raise ValueError(
            "--until decided looks at runs before it trains others, which --slurm does not wait for; give --seeds there"
        )
    if known.seeds is not None:
        raise ValueError("--seeds does not go with --until decided, which takes seeds 0, 1, ... up to --max-seeds")
    most = MAX_SEEDS if known.max_seeds is None else known.max_seeds
    smallest = PERCENT.smallest if known.smallest is None else known.smallest
    if most < FIRST:
        raise ValueError(f"--max-seeds is {most}; the first look is at {FIRST} seeds, so that it must be at least that")
    if not 0 < smallest < PERCENT.best:
        raise ValueError(f"--smallest is {smallest:g}; it must be between 0 and {PERCENT.best} {PERCENT.points}")
    return Until(most, smallest, None if known.budget is None else seconds_of(known.budget))
