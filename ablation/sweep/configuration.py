"""The configuration that a job would have, read in this process: many of them take no time to speak of."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from typing import Any

import yaml

from ablation.sweep.jobs import Job


def configuration(job: Job) -> dict[str, Any]:
    """Return what `fit` would train with.

    Raises:
        ValueError: it cannot be read, such as for an unknown key.
    """
    from lightning_modules.experiment_cli import ExperimentCLI  # here, since it imports all that a training needs

    said, wrong = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(wrong), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ExperimentCLI(["fit", *job.arguments, "--print_config"])
        except SystemExit as ended:
            if ended.code:
                message = wrong.getvalue().rpartition("error: ")[2]
                raise ValueError(f"{job.id} cannot be read: {' '.join(message.split())}") from None
        except ValueError as error:
            raise ValueError(f"{job.id} cannot be read: {error}") from error
    config: dict[str, Any] = yaml.safe_load(said.getvalue())
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
