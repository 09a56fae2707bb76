"""The jobs of a sweep: experiments x stages x settings x seeds, and the configuration that each is trained with."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from ablation.sweep.request import Request, StageFiles
from lightning_modules.config.chain import given_files
from lightning_modules.config.user_errors import CommandLineError
from lightning_modules.runs.folder import checked_name

_NOT_IN_A_NAME = re.compile(r"[^\w.+=-]+")
_LONGEST_VALUE = 40  # characters of a value in the name of a folder


@dataclass(frozen=True)
class Job:
    """A training; as the last stage of a chain, it is linked to the stages before it.

    Attributes:
        name: name of the experiment, with its varied settings, and the stage if it is in a chain.
        seed: seed of the training.
        arguments: arguments of `fit`.
        before: stage from whose weights it starts; None for the first.
        prefix: whether it is trained only for later stages: it is not tested, and can be replaced by another
            experiment's training with the same configuration.
    """

    name: str
    seed: int
    arguments: tuple[str, ...]
    before: Job | None = None
    prefix: bool = False

    @property
    def id(self) -> str:
        """Path of its run folder below the folder of all runs."""
        return f"{self.name}/seed_{self.seed}"

    @property
    def file_name(self) -> str:
        """Name of the job in file names."""
        return f"{self.name}+seed_{self.seed}"

    @property
    def stages(self) -> tuple[Job, ...]:
        """All stages of its chain in order, itself last."""
        return (*(self.before.stages if self.before else ()), self)

    @property
    def in_chain(self) -> bool:
        """Whether it is a stage of a chain."""
        return self.prefix or self.before is not None

    @property
    def stage(self) -> str:
        """Name of its stage; empty if it is not in a chain."""
        return self.name.rpartition("+")[2] if self.in_chain else ""


def expand(request: Request, runs: Path) -> list[Job]:
    """Return the jobs: all experiments with the first seed, then with the next, so that they can be compared early.

    Raises:
        ValueError: two jobs would train in one folder.
    """
    jobs: dict[str, Job] = {}
    experiments: dict[str, Path] = {}
    varied = [len(alternatives) > 1 for alternatives in request.stages]
    for seed, experiment, stages, values in product(
        request.seeds, request.experiments, product(*request.stages), product(*request.grid.values())
    ):
        files = (experiment, *request.configs)
        settings = dict(zip(request.grid, values, strict=True))
        name = "+".join([*(file.stem for file in given_files(files)), *_set_in_name(settings)])
        arguments = (
            "--trainer.enable_progress_bar=false",  # output is written to a log file
            *request.settings,
            *(f"--{key}={value}" for key, value in settings.items()),
        )
        job = chained(name, seed, files, stages, arguments, runs, varied)
        if job.id in jobs:
            values_too = f", or values of --set ({', '.join(settings)}) that differ in letters and digits"
            raise ValueError(
                f"two jobs would train in {runs / job.id}: one of {experiments[job.id]}, one of {experiment}; name "
                f"each experiment once, and experiments in different folders differently{values_too * bool(settings)}"
            )
        jobs[job.id], experiments[job.id] = job, experiment
    return list(jobs.values())


def chained(
    name: str,
    seed: int,
    files: Sequence[Path],
    stages: Sequence[StageFiles],
    settings: Sequence[str],
    runs: Path,
    varied: Sequence[bool] = (),
) -> Job:
    """Return a job with these stages, or a single training without any.

    Args:
        name: name of the experiment; a stage is named `<experiment>+<stage>`.
        seed: seed of every stage.
        files: config files of all stages, the experiment first.
        stages: config files of each stage.
        settings: further arguments of all stages.
        runs: folder of all runs.
        varied: whether each stage has alternatives, so that the names of later stages must include it.

    Raises:
        ValueError: the name cannot be that of a folder.
    """
    job = None
    for place, stage in enumerate(stages or [()]):
        prefix = place < len(stages) - 1
        stage_name = checked_name(f"{name}+{stage[0].stem}" if stage else name, "name of the run")
        arguments = (
            *(f"--config={file}" for file in (*files, *stage)),
            *(["--test_after_fit=false"] if prefix else []),
            *settings,
            f"--name={stage_name}",
            f"--seed_everything={seed}",
            f"--runs={runs}",
        )
        job = Job(stage_name, seed, arguments, job, prefix)
        if varied and varied[place]:
            name = stage_name
    assert job is not None
    return job


def distinct_stages(jobs: Sequence[Job]) -> list[Job]:
    """Return the stages of jobs, each once."""
    return list(dict.fromkeys(stage for job in jobs for stage in job.stages))


def common_stages(jobs: Mapping[Job, Sequence[Job]], key: Callable[[Job], str]) -> list[Job]:
    """Return the last common stages of chains, which are trained first, from the remaining stages of all jobs.

    `key` returns the same key for stages that jobs share.
    """
    keys = {stage: key(stage) for stage in distinct_stages([*jobs])}
    counts = Counter(keys[stage] for stages in jobs.values() for stage in stages)
    common: dict[str, Job] = {}
    for stages in jobs.values():
        shared = [stage for stage in stages if counts[keys[stage]] > 1]
        if shared:
            common.setdefault(keys[shared[-1]], shared[-1])
    earlier = {keys[stage] for last in common.values() for stage in last.stages[:-1]}
    return [last for key_of_last, last in common.items() if key_of_last not in earlier]


def _set_in_name(settings: Mapping[str, str]) -> Sequence[str]:
    """Return `key=value` of each setting, with only the last part of keys unless these would be ambiguous."""
    last = [key.rsplit(".", 1)[-1] for key in settings]
    names = last if len(set(last)) == len(last) else list(settings)
    values = (_NOT_IN_A_NAME.sub("_", value).strip("_")[:_LONGEST_VALUE] for value in settings.values())
    return [f"{name}={value}" for name, value in zip(names, values, strict=True)]


def configuration(job: Job) -> dict[str, Any]:
    """Return the configuration that `fit` would train with.

    Raises:
        ValueError: it cannot be resolved, such as for an unknown key.
    """
    # Imported here, since it imports everything that a training needs.
    from lightning_modules.experiment_parser import experiment_parser
    from lightning_modules.resolve import resolve

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            experiment = resolve(["fit", *job.arguments])
        except (ValueError, CommandLineError) as error:
            raise ValueError(f"{job.id} cannot be read: {' '.join(str(error).split())}") from error
        content: dict[str, Any] = yaml.safe_load(experiment_parser().dump(experiment.by_verb, skip_unset=False))
    config: dict[str, Any] = content[experiment.verb]
    return config


def steps_of(jobs: Sequence[Job]) -> tuple[dict[str, int], list[str]]:
    """Return the numbers of optimiser steps by id of the job, and a line on each experiment with an unknown number.

    All seeds of an experiment have the same number. It is unknown, for example, if a file of records is only on the
    machines of a cluster.
    """
    from lightning_modules.costs.schedule import devices_of, schedule  # imported here for the same reason
    from lightning_modules.resolve import resolve

    steps: dict[str, int] = {}
    unknown: dict[str, str] = {}
    for job in jobs:
        if job.name not in steps.keys() | unknown.keys():
            try:
                experiment = resolve(["fit", *job.arguments])
                trainer = experiment.config.trainer
                steps[job.name] = schedule(experiment, devices_of(trainer.devices) * trainer.num_nodes).steps
            except (ValueError, OSError) as error:
                unknown[job.name] = " ".join(str(error).split())
    steps_by_id = {job.id: steps[job.name] for job in jobs if job.name in steps}
    return steps_by_id, [f"{name}: number of steps not known: {why}" for name, why in unknown.items()]
