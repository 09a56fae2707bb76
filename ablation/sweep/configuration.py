"""The configuration of a job, resolved in this process, which is fast even for many jobs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import yaml

from ablation.sweep.jobs import Job
from lightning_modules.config.user_errors import CommandLineError


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
