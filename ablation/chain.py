"""Training stages in a row, as one command: each starts from the weights of the one before, and the last one is tested.

`video-panda chain --config experiments/full.yaml` trains align, integrate and instruct of the paper's Table 6. The same
command resumes what was stopped or killed. A finished stage is not trained again, nor is one before the last that
another chain has trained with the same configuration. A stage that was trained with other settings stops the chain, so
that a chain of the same experiment with other settings or further files needs a --name of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ablation.sweep.jobs import Job, chained, configuration
from ablation.sweep.request import typed_stages
from ablation.sweep.state import Plan, State, is_finished
from ablation.sweep.training import Busy, Claim, claim
from datamodules.printable import say
from lightning_modules.config.chain import STAGES
from lightning_modules.config.packaged import found
from lightning_modules.config.user_errors import ProgramParser, user_errors
from lightning_modules.runs.checkout import STARTED_BY
from lightning_modules.runs.folder import checked_name

BUSY = 5.0  # seconds between checks whether another process has finished a stage


class ChainError(ValueError):
    """A stage did not end well."""


def train_stage(arguments: Sequence[str], stage: str, holds: tuple[int, ...] = ()) -> int:
    """Run the training of a stage and return its exit status; on Ctrl-C the training saves a checkpoint and ends.

    Args:
        arguments: arguments of `fit`.
        stage: place and name of the stage, for its history.
        holds: descriptors of locks that the training holds too.
    """
    before = signal.signal(signal.SIGINT, lambda *_: None)
    environment = {**os.environ, STARTED_BY: f"chain, stage {stage}"}
    try:
        command = [sys.executable, "-m", "lightning", "fit", *arguments]
        return subprocess.Popen(command, pass_fds=holds, env=environment).wait()
    finally:
        signal.signal(signal.SIGINT, before)


def chain(
    configs: Sequence[str],
    stages: Sequence[str],
    runs: Path,
    seed: int,
    settings: Sequence[str] = (),
    name: str | None = None,
) -> list[Path]:
    """Train `stages` one after the other, and return their run folders.

    Args:
        configs: config files of all stages, the experiment first.
        stages: config file of each stage; several are joined by `+`, such as a stage and its data.
        runs: folder of all runs; a stage is trained in `<name>+<stage>`, unless a run has the same hash.
        seed: seed of every stage.
        settings: further arguments of every stage.
        name: name of the chain; None for that of the experiment.

    Raises:
        ChainError: a stage did not end well; the same call resumes it.
        ValueError: a stage was trained before with other settings, or a config file or setting is invalid.
    """
    alternatives = typed_stages(stages)
    varied = [typed for typed, files in zip(stages, alternatives, strict=True) if len(files) > 1]
    if varied:
        raise ValueError(f"--stages has alternatives, {varied[0]}; a chain has one, and `video-panda sweep` takes all")
    files = [found(config) for config in configs]
    name = files[0].stem if name is None else checked_name(name)
    stage_files = [files for (files,) in alternatives]
    job = chained(name, seed, files, stage_files, settings, runs)
    plan = Plan(runs, {stage: configuration(stage) for stage in job.stages}.__getitem__)
    while not isinstance(claimed := claim(job, plan), State):
        if isinstance(claimed, Busy):
            say(f"{claimed.stage.name}: is trained by another process, which is waited for")
            while isinstance(claimed := claim(job, plan), Busy):
                time.sleep(BUSY)
        if isinstance(claimed, Claim):
            _train(claimed, job)
    folders = [plan.state(stage).folder for stage in job.stages]
    for stage, folder in zip(job.stages, folders, strict=True):
        say(f"{stage.name}: finished in {folder}")
    return folders


def _train(claimed: Claim, job: Job) -> None:
    name, place = claimed.stage.name, job.stages.index(claimed.stage) + 1
    say(f"{name}: {'goes on in' if claimed.continues else 'starts in'} {claimed.folder}")
    try:
        status = train_stage(claimed.arguments, f"{place} of {len(job.stages)}: {name}", claimed.descriptors)
    finally:
        claimed.release()
    if status or not is_finished(claimed.folder):
        raise ChainError(f"stage {name} did not end well (status {status}); the same command goes on from there")


def main(args: Sequence[str] | None = None) -> None:
    """Train the stages as the command line says."""
    parser = ProgramParser(prog="video-panda chain", description=__doc__, allow_abbrev=False)
    parser.add_argument("--config", action="append", required=True, help="config file of all stages; experiment first")
    parser.add_argument(
        "--stages", nargs="+", default=list(STAGES), help="config file of each stage; join several by +"
    )
    parser.add_argument("--name", help="of the chain, whose runs are called <name>+<stage>; default: the experiment's")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs")
    parser.add_argument("--seed_everything", type=int, default=0, help="seed of every stage")
    options, settings = parser.parse_known_args(args)
    with user_errors():
        if os.environ.get("SLURM_PROCID", "0") != "0":  # the tasks would wait for each other
            raise ValueError(
                "video-panda chain is one process, and this is one of several tasks of SLURM: let each stage be a job, "
                "as in docs/slurm.sh, with --init_from of the one before"
            )
        chain(options.config, options.stages, options.runs, options.seed_everything, settings, options.name)
