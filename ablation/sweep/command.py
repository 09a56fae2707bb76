"""`video-panda sweep`: trains experiments x seeds x what is set, and goes on where it was when it is given again.

Runs are ordinary ones, in `runs/<experiment>[+what is set]/seed_<n>`. Files are experiments, or one sweep such as
experiments/sweeps/table_4.yaml. With --stages each job is a chain of trainings, and what chains begin with in common is
trained once. With --until decided, each row gets seeds until it is better, worse or not distinguishable from the
baseline. Further flags of `fit` go to every run. Ctrl-C lets all runs save a checkpoint; after it, or anything worse,
the same command trains only what is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ablation.sweep.configuration import configuration, steps_of
from ablation.sweep.display import display
from ablation.sweep.jobs import Job, Request, common_stages, expand
from ablation.sweep.journal import Journal
from ablation.sweep.listing import listing
from ablation.sweep.outlook import add_until_options, came_to, outlook, until_options
from ablation.sweep.request import request_of
from ablation.sweep.runner import Outcome, Runner
from ablation.sweep.slurm import Task, queued, slurm_options, submit
from ablation.sweep.standing import Configs, Standing, identity, key, next_stage, stages_left, standing
from ablation.sweep.training import shares
from ablation.sweep.until_decided import Until, UntilDecided
from datamodules.printable import say
from lightning_modules.config.redaction import as_typed
from lightning_modules.config.user_errors import ProgramParser, user_errors
from lightning_modules.runs.lock import Lock

PATIENCE = 60.0  # seconds for the runs of a killed sweep to end


def main(args: Sequence[str] | None = None) -> None:
    """Read the command line, and train or list; the exit status is 1 if a job failed, 128 + signal if one came."""
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
    add_until_options(parser)
    known, settings = parser.parse_known_args(args)
    check_options(parser, known)
    with user_errors():
        until = until_options(known)
        request = request_of(known.files, known.name, known.seeds, known.config, known.set, settings, known.stages)
        outcome = train(request, known) if until is None else train_until_decided(request, known, until)
    if outcome is not None:
        close(outcome)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what says how a sweep is trained, and what all its runs have in common."""
    parser.add_argument("--seeds", nargs="+", type=int, metavar="SEED",
                        help="how many, from 0; or several: the seeds; default: those of the file, or 1")  # fmt: skip
    parser.add_argument("--config", action="append", type=Path, default=[], help="further config file of all runs")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, on a GPU or a share of the cores each")
    parser.add_argument("--retries", type=int, default=1, help="how many times a run that fails is tried again")
    parser.add_argument("--slurm", metavar="KEY=V,...", help="submit an array of tasks with these options of sbatch")
    parser.add_argument("--dry-run", action="store_true", help="list what would be done")


def check_options(parser: argparse.ArgumentParser, known: argparse.Namespace) -> None:
    """End the program with status 2 if a number is none."""
    if known.jobs < 1:
        parser.error(f"--jobs is {known.jobs}; it must be at least 1")
    if known.retries < 0:
        parser.error(f"--retries is {known.retries}; it must be 0 or more")


def train(request: Request, known: argparse.Namespace) -> Outcome | None:
    """Train what is not finished, or hand it to a cluster, or list it; say how it ended.

    Args:
        request: what is asked for.
        known: the options of `add_options`.

    Returns:
        How it ended; None if nothing was trained here.

    Raises:
        ValueError: something is wrong with what is asked for, or a run of it has other settings.
    """
    options = slurm_options(known.slurm) if known.slurm is not None else None
    jobs = expand(request, known.runs)
    say(f"sweep {request.name}: {len(jobs)} job{'s' if len(jobs) > 1 else ''}")
    stages = {stage.id: stage for job in jobs for stage in job.stages}.values()
    configs = {stage.id: configuration(stage) for stage in stages}
    steps, unknown = steps_of([*stages])
    say("".join(f"{line}\n" for line in unknown), end="")
    journal = Journal(known.runs / "sweeps" / request.name)
    if known.dry_run:
        keys = {stage.id: key(stage, configs) for stage in stages}
        standings, events = _standings(jobs, configs, known.runs, journal), journal.events()
        say(listing(jobs, standings, steps, events, keys, queued(events)))
        return None
    lock = _lock(journal.folder)
    try:
        journal.open()
        _plan([*stages], configs, journal)
        standings = _standings(jobs, configs, known.runs, journal)
        if options is not None:
            _submit(jobs, configs, standings, known.runs, journal, known.retries, options, known.jobs)
            return None
        environments, holds = shares(known.jobs), (lock.descriptor,)
        outcome = Runner(jobs, configs, steps, known.runs, journal, environments, known.retries, display(), holds).run()
    finally:
        lock.release()
    _say(outcome, len(jobs), known.runs)
    return outcome


def train_until_decided(request: Request, known: argparse.Namespace, until: Until) -> Outcome | None:
    """Add seeds until each row is decided, or say what is left of that; say what it came to.

    Args:
        request: what is asked for; its seeds are not.
        known: the options of `add_options`.
        until: when no more seeds are added.

    Returns:
        How it ended; None if nothing was trained.

    Raises:
        ValueError: something is wrong with what is asked for, or runs cannot be compared.
    """
    jobs = expand(replace(request, seeds=tuple(range(until.most))), known.runs)
    say(f"sweep {request.name}: {len(jobs) // until.most} rows, seeds 0 to at most {until.most - 1}, until decided")
    journal = Journal(known.runs / "sweeps" / request.name)
    if known.dry_run:
        sweep = UntilDecided(jobs, until, known.runs, journal, known.jobs, configuration)
        say("\n".join((*sweep.decisions.lines(sweep.rows), *outlook(sweep))))
        return None
    lock = _lock(journal.folder)
    try:
        journal.open()
        sweep = UntilDecided(jobs, until, known.runs, journal, known.jobs, configuration)
        steps, unknown = steps_of([stage for job in jobs for stage in job.stages])
        say("".join(f"{line}\n" for line in unknown), end="")
        environments, holds = shares(known.jobs), (lock.descriptor,)

        def train_some(some: Sequence[Job]) -> Outcome:
            stages = {stage.id: stage for job in some for stage in job.stages}
            for job in some:
                sweep.know(job)
            _plan([*stages.values()], sweep.configs, journal)
            configs, repeats = sweep.configs, known.retries
            return Runner(some, configs, steps, known.runs, journal, environments, repeats, display(), holds).run()

        ended = sweep.run(train_some, say)
    finally:
        lock.release()
    say("\n" + "\n".join(came_to(sweep)))
    if ended.stopped_by:
        say("stopped; the same command goes on from here")
    sys.stdout.flush()
    return ended


def close(outcome: Outcome) -> None:
    """Leave with the status that tells how it ended."""
    if outcome.stopped_by:
        sys.exit(128 + outcome.stopped_by)
    if outcome.failed:
        sys.exit(1)


def _lock(folder: Path) -> Lock:
    lock = Lock(folder / "lock")
    if lock.take():
        return lock
    if lock.holder_is_gone():
        say("runs of the sweep before, which was killed, are still ending; waiting for them")
        if lock.take(PATIENCE):
            return lock
    process, host = lock.holder()
    lock.release()
    raise ValueError(
        f"{folder} is in use by process {process} on {host}; wait for it or stop it, or give this sweep another --name"
    )


def _plan(stages: Sequence[Job], configs: Configs, journal: Journal) -> None:
    """Note each training once with what it is: its configuration, of which the hash stands in the journal."""
    planned = {(event["job"], event["configuration"]) for event in journal.events() if event["event"] == "planned"}
    for stage in stages:
        if stage.in_chain:
            digest = identity(stage, configs)
        else:
            digest = hashlib.sha256(json.dumps(configs[stage.id], sort_keys=True, default=str).encode()).hexdigest()
        if (stage.id, digest) not in planned:
            journal.append(stage.id, "planned", configuration=digest, arguments=as_typed(stage.arguments))


def _standings(jobs: Sequence[Job], configs: Configs, runs: Path, journal: Journal) -> dict[str, Standing]:
    """Return training -> where it stands, of every job and those of its stages that this depends on."""
    found: dict[str, Standing] = {}

    def stands(stage: Job) -> Standing:
        if stage.id not in found:
            begun = None if stage.in_chain else journal.begun(stage.id)
            found[stage.id] = standing(stage, configs, runs, begun)
        return found[stage.id]

    for job in jobs:
        next_stage(job, stands)
    return found


def _submit(
    jobs: Sequence[Job],
    configs: Configs,
    standings: Mapping[str, Standing],
    runs: Path,
    journal: Journal,
    retries: int,
    options: Mapping[str, str | int],
    at_once: int,
) -> None:
    """Hand over what is neither finished nor in the queue, what several jobs have in common first."""
    queue = queued(journal.events())
    unfinished = {job: stages for job in jobs if (stages := stages_left(job, standings))}
    say("".join(f"left alone {job.id}, {queue[job.id]}\n" for job in unfinished if job.id in queue), end="")
    left = {job: stages for job, stages in unfinished.items() if job.id not in queue}
    common = common_stages(left, {stage.id: key(stage, configs) for job in left for stage in job.stages})
    waited_for = {stage.id for stages in left.values() for stage in stages if stage.prefix and stage.id in queue}
    earlier = [queue[stage].rpartition(" ")[2] for stage in waited_for]
    for several in ([stage for stage in common if stage.id not in queue], left):
        tasks = [Task(job, configs, runs, journal.folder, retries) for job in several]
        submitted = submit(tasks, journal.folder / "slurm", options, at_once, after=earlier) if tasks else []
        for task, job in zip(tasks, submitted, strict=True):
            journal.append(task.job.id, "submitted", task=job.job_id)
            say(f"submitted {task.job.id} as {job.job_id}")
        earlier += [job.job_id for job in submitted]
    say(f"submitted: {len(left)}; the same command with --dry-run says where all jobs stand")


def _say(outcome: Outcome, jobs: int, runs: Path) -> None:
    """Say how it ended."""
    say(f"\n{len(outcome.finished)} of {jobs} jobs are finished; look at them with tensorboard --logdir {runs}")
    if outcome.failed:
        say(f"{len(outcome.failed)} failed, and the same command tries again: {', '.join(outcome.failed)}")
    if outcome.stopped_by:
        say("stopped; the same command goes on from here")
    sys.stdout.flush()
