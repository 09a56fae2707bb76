"""`video-panda sweep`: trains experiments x seeds x settings; the same command resumes it.

Runs are ordinary ones, in `runs/<experiment>[+settings]/seed_<n>`. Files are experiments, or one sweep such as
experiments/sweeps/table_4.yaml. With --stages each job is a chain of trainings, and stages that chains have in common
are trained once. With --until decided, each row gets seeds until it is better, worse or not distinguishable from the
baseline. Further flags of `fit` go to every run. Ctrl-C lets all runs save a checkpoint; after it, or anything worse,
the same command trains only what is missing.
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ablation.comparing.sequential import FIRST
from ablation.stage_record import settings_hash
from ablation.sweep.display import listing
from ablation.sweep.jobs import Job, configuration, distinct_stages, expand, steps_of
from ablation.sweep.journal import Journal
from ablation.sweep.request import Request, request_of
from ablation.sweep.runner import Outcome, Runner
from ablation.sweep.slurm import queued, slurm_options, submit_unfinished
from ablation.sweep.state import Plan
from ablation.sweep.until_decided import Until, UntilDecided, outlook
from datamodules.printable import say
from lightning_modules.config.redaction import as_typed
from lightning_modules.config.user_errors import ProgramParser, user_errors
from lightning_modules.runs.folder import SWEEPS
from lightning_modules.runs.lock import Lock
from lightning_modules.scoring.metrics import PERCENT

PATIENCE = 60.0  # seconds to wait for the runs of a killed sweep to end
MAX_SEEDS = 12
_UNITS = {"h": 3600.0, "min": 60.0, "m": 60.0, "s": 1.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(h|min|m|s)\s*")


def main(args: Sequence[str] | None = None) -> None:
    """Train or list the jobs as the command line says; the exit status is 1 if a job failed, 128 + signal after one."""
    parser = ProgramParser(
        prog="video-panda sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("files", nargs="+", type=Path, help="experiments, or one sweep file")
    parser.add_argument(
        "--stages", nargs="+", help="of each job, a chain: config file of each; join several by +, alternatives by ,"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=V1,V2", help="values to vary; repeatable")
    parser.add_argument("--name", help="of the sweep's folder, <runs>/sweeps/<name>; default: the files' names")
    add_options(parser)
    parser.add_argument("--until", choices=["decided"], help="add seeds to each row until it is better, worse or not"
                        " distinguishable from the baseline")  # fmt: skip
    parser.add_argument("--max-seeds", type=int, help=f"with --until, seeds of a row at most; default {MAX_SEEDS}")
    parser.add_argument("--smallest", type=float, help="with --until, the difference that matters, in percentage"
                        f" points; default {PERCENT.smallest:g}")  # fmt: skip
    parser.add_argument(
        "--budget", help="with --until, how long to train, such as 2h; runs that have begun are finished"
    )
    options, settings = parser.parse_known_args(args)
    check_options(parser, options)
    with user_errors():
        until = _until(options)
        request = request_of(
            options.files, options.name, options.seeds, options.config, options.set, settings, options.stages
        )
        outcome = train(request, options) if until is None else train_until_decided(request, options, until)
    if outcome is not None:
        close(outcome)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of training a sweep, and those common to all its runs."""
    parser.add_argument("--seeds", nargs="+", type=int, metavar="SEED",
                        help="how many, from 0; or several: the seeds; default: those of the file, or 1")  # fmt: skip
    parser.add_argument("--config", action="append", type=Path, default=[], help="further config file of all runs")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, on a GPU or a share of the cores each")
    parser.add_argument("--retries", type=int, default=1, help="how many times a run that fails is tried again")
    parser.add_argument("--slurm", metavar="KEY=V,...", help="submit an array of tasks with these options of sbatch")
    parser.add_argument("--dry-run", action="store_true", help="list what would be done")


def check_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End the program with status 2 if a number is out of range."""
    if options.jobs < 1:
        parser.error(f"--jobs is {options.jobs}; it must be at least 1")
    if options.retries < 0:
        parser.error(f"--retries is {options.retries}; it must be 0 or more")


def _until(options: argparse.Namespace) -> Until | None:
    """Return the limits of adding seeds; None without `--until`.

    Raises:
        ValueError: flags do not go together, or a number is out of range.
    """
    if options.until is None:
        for name in ("max_seeds", "smallest", "budget"):
            if getattr(options, name) is not None:
                raise ValueError(f"--{name.replace('_', '-')} goes with --until decided, which is not given")
        return None
    if options.slurm is not None:
        raise ValueError(
            "--until decided looks at runs before it trains others, which --slurm does not wait for; give --seeds there"
        )
    if options.seeds is not None:
        raise ValueError("--seeds does not go with --until decided, which takes seeds 0, 1, ... up to --max-seeds")
    most = MAX_SEEDS if options.max_seeds is None else options.max_seeds
    smallest = PERCENT.smallest if options.smallest is None else options.smallest
    if most < FIRST:
        raise ValueError(f"--max-seeds is {most}; the first look is at {FIRST} seeds, so that it must be at least that")
    if not 0 < smallest < PERCENT.best:
        raise ValueError(f"--smallest is {smallest:g}; it must be between 0 and {PERCENT.best} {PERCENT.points}")
    return Until(most, smallest, None if options.budget is None else _seconds(options.budget))


def _seconds(budget: str) -> float:
    """Return a time such as `2h`, `90min` or `1h 30min` in seconds."""
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(budget))
    if not seconds or _PART.sub("", budget):
        raise ValueError(f"--budget is {budget!r}; it must be a time such as 2h, 90min or 1h30min")
    return seconds


def train(request: Request, options: argparse.Namespace) -> Outcome | None:
    """Train unfinished jobs, submit them to a cluster, or list them, and print the outcome.

    Returns:
        The outcome; None if nothing was trained here.

    Raises:
        ValueError: the request is invalid, or a run has other settings.
    """
    cluster = slurm_options(options.slurm) if options.slurm is not None else None
    jobs = expand(request, options.runs)
    say(f"sweep {request.name}: {len(jobs)} job{'s' if len(jobs) > 1 else ''}")
    configs = {stage: configuration(stage) for stage in distinct_stages(jobs)}
    steps = _steps([*configs])
    journal = Journal(options.runs / SWEEPS / request.name)
    plan = Plan(options.runs, configs.__getitem__, journal.begun)
    if options.dry_run:
        events = journal.events()
        say(listing(jobs, plan, steps, events, queued(events)))
        return None
    with _opened(journal) as holds:
        _note_planned([*configs], plan, journal)
        states = {job: plan.states(job) for job in jobs}  # before training, since it fails if a run has other settings
        if cluster is not None:
            left = {job: [stage for stage, state in states[job] if not state.finished] for job in jobs}
            unfinished = {job: stages for job, stages in left.items() if stages}
            submit_unfinished(unfinished, plan, journal, cluster, options.jobs, options.retries)
            return None
        outcome = Runner(jobs, plan, journal, steps, options.jobs, options.retries, holds).run()
    say(f"\n{len(outcome.finished)} of {len(jobs)} jobs are finished; look at them with tensorboard --logdir "
        f"{options.runs}")  # fmt: skip
    if outcome.failed:
        say(f"{len(outcome.failed)} failed, and the same command tries again: {', '.join(outcome.failed)}")
    _say_stopped(outcome)
    return outcome


def train_until_decided(request: Request, options: argparse.Namespace, until: Until) -> Outcome | None:
    """Add seeds, in place of the request's, until every row is decided, or list what is left; print the outcome.

    Returns:
        The outcome; None if nothing was trained.

    Raises:
        ValueError: the request is invalid, or runs cannot be compared.
    """
    jobs = expand(replace(request, seeds=tuple(range(until.most))), options.runs)
    say(f"sweep {request.name}: {len(jobs) // until.most} rows, seeds 0 to at most {until.most - 1}, until decided")
    journal = Journal(options.runs / SWEEPS / request.name)
    plan = Plan(options.runs, functools.cache(configuration), journal.begun)
    if options.dry_run:
        sweep = UntilDecided(jobs, until, plan, journal, options.jobs)
        say("\n".join((*sweep.decisions.lines(sweep.rows), *outlook(sweep))))
        return None
    with _opened(journal) as holds:
        sweep = UntilDecided(jobs, until, plan, journal, options.jobs)
        steps = _steps(distinct_stages(jobs))
        outcome = Outcome()
        while not outcome.stopped_by:
            following = sweep.next()
            sweep.check_comparable()
            if following.jobs:
                _note_planned(distinct_stages(following.jobs), plan, journal)
                batch = Runner(following.jobs, plan, journal, steps, options.jobs, options.retries, holds).run()
                outcome.finished += batch.finished
                outcome.stopped_by = batch.stopped_by
                sweep.failed |= batch.failed
            elif following.rows:
                for line in sweep.look(following.rows):
                    say(f"looked    {line}")
            else:
                break
        outcome.failed = dict(sweep.failed)
    say("\n" + "\n".join(sweep.summary()))
    _say_stopped(outcome)
    return outcome


def close(outcome: Outcome) -> None:
    """End the program with the exit status of an outcome."""
    if outcome.stopped_by:
        sys.exit(128 + outcome.stopped_by)
    if outcome.failed:
        sys.exit(1)


def _steps(stages: Sequence[Job]) -> dict[str, int]:
    """Return the known numbers of optimiser steps by id of a training; print for which they are unknown."""
    steps, unknown = steps_of(stages)
    say("".join(f"{line}\n" for line in unknown), end="")
    return steps


@contextmanager
def _opened(journal: Journal) -> Iterator[tuple[int, ...]]:
    """Lock the sweep against other processes; yields the descriptor of the lock, which its runs hold too."""
    folder = journal.folder
    lock = Lock(folder / "lock")
    try:
        if not lock.take():
            patience = 0.0
            if lock.holder_is_gone():
                patience = PATIENCE
                say("runs of the sweep before, which was killed, are still ending; waiting for them")
            if not lock.take(patience):
                process, host = lock.holder()
                raise ValueError(
                    f"{folder} is in use by process {process} on {host}; wait for it or stop it, or give this sweep "
                    "another --name"
                )
        journal.open()
        yield (lock.descriptor,)
    finally:
        lock.release()


def _note_planned(stages: Sequence[Job], plan: Plan, journal: Journal) -> None:
    """Add each training to the journal once, with the hash of its configuration."""
    digests = {
        stage: plan.identity(stage) if stage.in_chain else settings_hash(plan.configuration(stage)) for stage in stages
    }
    planned = {(event["job"], event["configuration"]) for event in journal.events() if event["event"] == "planned"}
    for stage, digest in digests.items():
        if (stage.id, digest) not in planned:
            journal.append(stage.id, "planned", configuration=digest, arguments=as_typed(stage.arguments))


def _say_stopped(outcome: Outcome) -> None:
    if outcome.stopped_by:
        say("stopped; the same command goes on from here")
    sys.stdout.flush()
