"""The jobs of a sweep: experiments x what is set x seeds, each an ordinary run with a folder of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from lightning_modules.config_chain import given_files

_NOT_IN_A_NAME = re.compile(r"[^\w.+=-]+")
_LONGEST_VALUE = 40  # characters, in the name of a folder


@dataclass(frozen=True)
class Request:
    """What a sweep is asked to train.

    Attributes:
        name: of the sweep.
        experiments: config files, one of which each job has.
        seeds: each of which every experiment has.
        configs: further config files of all jobs, such as a scale.
        grid: key -> values, all combinations of which every experiment has.
        settings: further flags of all jobs.
    """

    name: str
    experiments: tuple[Path, ...]
    seeds: tuple[int, ...] = (0,)
    configs: tuple[Path, ...] = ()
    grid: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        name: of the experiment, with what is set.
        seed: of the training.
        arguments: of `fit`.
    """

    name: str
    seed: int
    arguments: tuple[str, ...]

    @property
    def id(self) -> str:
        """Where its run folder is, below that of all runs."""
        return f"{self.name}/seed_{self.seed}"

    @property
    def file_name(self) -> str:
        """What a file about it is called."""
        return f"{self.name}+seed_{self.seed}"


def expand(request: Request, runs: Path) -> list[Job]:
    """Return the jobs: all experiments with the first seed, then with the next, so that a comparison is there early.

    Args:
        request: what is to be trained.
        runs: folder of all runs.

    Raises:
        ValueError: two jobs would train in one folder.
    """
    jobs: dict[str, tuple[Job, Path]] = {}
    keys = list(request.grid)
    for seed, experiment, values in product(request.seeds, request.experiments, product(*request.grid.values())):
        files = (experiment, *request.configs)
        settings = dict(zip(keys, values, strict=True))
        name = "+".join([*(file.stem for file in given_files(files)), *_set_in_name(settings)])
        arguments = (
            *(f"--config={file}" for file in files),
            "--trainer.enable_progress_bar=false",  # goes to a file
            *request.settings,
            *(f"--{key}={value}" for key, value in settings.items()),
            f"--name={name}",
            f"--seed_everything={seed}",
            f"--runs={runs}",
        )
        job = Job(name, seed, arguments)
        if job.id in jobs:
            other = jobs[job.id][1]
            raise ValueError(
                f"two jobs would train in {runs / job.id}: one of {other}, one of {experiment}; name each experiment "
                "once, and experiments in different folders differently"
                + (f", or values of --set ({', '.join(keys)}) that differ in letters and digits" if keys else "")
            )
        jobs[job.id] = job, experiment
    return [job for job, _ in jobs.values()]


def _set_in_name(settings: Mapping[str, str]) -> Sequence[str]:
    """Return `key=value` of each setting, the key without what it belongs to unless two would be alike."""
    last = [key.rsplit(".", 1)[-1] for key in settings]
    names = last if len(set(last)) == len(last) else list(settings)
    values = (_NOT_IN_A_NAME.sub("_", value).strip("_")[:_LONGEST_VALUE] for value in settings.values())
    return [f"{name}={value}" for name, value in zip(names, values, strict=True)]
