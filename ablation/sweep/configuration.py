"""The configuration that a job would have, resolved in this process: many of them take no time to speak of."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import yaml

from ablation.sweep.jobs import Job
from lightning_modules.config.user_errors import CommandLineError


def configuration(job: Job) -> dict[str, Any]:
    """Return what `fit` would train with.

    Raises:
        ValueError: it cannot be read, such as for an unknown key.
    """
    from lightning_modules.resolve import (
        experiment_parser,  # here, since these import all that a training needs
        resolve,
    )

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
    """Return job -> optimiser steps of its training, and a line on each experiment for which they are not known.

    Seeds of an experiment have the same. Not known is, for example, how many records there are in a file that is only
    on the machines of a cluster.
    """
    from lightning_modules.costs.resolved import resolve_as_given  # here, as above
    from lightning_modules.costs.schedule import devices_of, schedule

    steps: dict[str, int] = {}
    unknown: dict[str, str] = {}
    for job in jobs:
        if job.name not in steps.keys() | unknown.keys():
            try:
                resolved = resolve_as_given([], job.arguments)
                trainer = resolved.config.trainer
                steps[job.name] = schedule(resolved, devices_of(trainer.devices) * trainer.num_nodes).steps
            except (ValueError, OSError) as error:
                unknown[job.name] = " ".join(str(error).split())
    known = {job.id: steps[job.name] for job in jobs if job.name in steps}
    return known, [f"{name}: number of steps not known: {why}" for name, why in unknown.items()]
