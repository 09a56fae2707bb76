"""The jobs of a sweep: experiments x stages x what is set x seeds, each of ordinary runs with folders of their own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ablation.sweep.request import Request, StageFiles
from lightning_modules.config.chain import given_files
from lightning_modules.runs.folder import checked_name

_NOT_IN_A_NAME = re.compile(r"[^\w.+=-]+")
_LONGEST_VALUE = 40  # characters, in the name of a folder


@dataclass(frozen=True)
class Job:
    """One training, or a chain of them: then this is the last one, and has those before it.

    Attributes:
        name: name of the experiment, with what is set, and with the stage if it is one of several.
        seed: seed of the training.
        arguments: arguments of `fit`.
        before: stage from whose weights it starts; None if it is the first.
        prefix: whether it is trained for later stages alone: it is not tested, and weights of another experiment's
            training with the same configuration will do.
    """

    name: str
    seed: int
    arguments: tuple[str, ...]
    before: Job | None = None
    prefix: bool = False

    @property
    def id(self) -> str:
        """Place of its run folder, below that of all runs."""
        return f"{self.name}/seed_{self.seed}"

    @property
    def file_name(self) -> str:
        """Name of a file about it."""
        return f"{self.name}+seed_{self.seed}"

    @property
    def stages(self) -> tuple[Job, ...]:
        """All that is trained for it, one after the other, itself last."""
        return (*(self.before.stages if self.before else ()), self)

    @property
    def in_chain(self) -> bool:
        """Whether it is one of several stages."""
        return self.prefix or self.before is not None

    @property
    def stage(self) -> str:
        """Name of its stage; empty if it is one training."""
        return self.name.rpartition("+")[2] if self.in_chain else ""


def expand(request: Request, runs: Path) -> list[Job]:
    """Return the jobs: all experiments with the first seed, then with the next, so that comparisons are early.

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
            "--trainer.enable_progress_bar=false",  # goes to a file
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
    """Return a job of these stages; none makes it one training.

    Args:
        name: name of the experiment; a stage is called `<experiment>+<stage>`.
        seed: seed of every stage.
        files: config files of all stages: the experiment first.
        stages: config files of each stage.
        settings: further arguments of all stages.
        runs: folder of all runs.
        varied: of each stage, whether other jobs have another one in its place, so that later ones must name it.

    Raises:
        ValueError: no folder can be called by the name.
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
    """Return what several jobs, of which these stages are left, have in common: the stages after which chains part.

    Trainings that are one for several jobs have the same `key`.
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
    """Return `key=value` of each setting, the key without what it belongs to unless two would be alike."""
    last = [key.rsplit(".", 1)[-1] for key in settings]
    names = last if len(set(last)) == len(last) else list(settings)
    values = (_NOT_IN_A_NAME.sub("_", value).strip("_")[:_LONGEST_VALUE] for value in settings.values())
    return [f"{name}={value}" for name, value in zip(names, values, strict=True)]
