"""The command line: `python -m lightning VERB`, `video-panda VERB` and `python -m lightning_modules VERB`.

Lightning's verbs are in `experiment_cli`; the others are separate programs. A program is imported only when it is run,
so that those that only read files start at once.
"""

from __future__ import annotations

import os
import sys
import warnings
from difflib import get_close_matches
from importlib import import_module

from lightning_modules.config.user_errors import user_errors
from lightning_modules.programs import PROGRAMS

# Our module's hook overrides the data module's on purpose, and the folder of a run that is resumed exists.
EXPECTED_WARNINGS = (
    "You have overridden `on_before_batch_transfer` in `LightningModule`",
    r"Found \d+ module\(s\) in eval mode at the start of training",  # the teacher, which is always in eval mode
    "You are using a custom batch sampler `EvaluationBatches` for prediction",  # which covers every question
    "Experiment logs directory .* exists and is not empty",
    "Checkpoint directory .* exists and is not empty",
)

VERBS = ("fit", "validate", "test", "predict")  # of Lightning
# Numbers that a launcher, such as torchrun, sets for every process; libraries read some of them when they are imported.
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_PORT",
         "SLURM_PROCID", "SLURM_LOCALID")  # fmt: skip


def main(args: list[str] | None = None) -> None:
    """Run the command line; a user's error is one line and status 1 or 2."""
    words = sys.argv[1:] if args is None else args
    with user_errors():
        _check_ranks()
    if words and words[0] in PROGRAMS:
        module, function = PROGRAMS[words[0]]
        with user_errors():
            getattr(import_module(module), function)(words[1:])
        return
    if words and not words[0].startswith("-") and words[0] not in VERBS:
        with user_errors():
            names = [*VERBS, *PROGRAMS]
            close = get_close_matches(words[0], names, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"there is no program {words[0]!r}; known: {', '.join(names)}{hint}")
    from lightning_modules.experiment_cli import ExperimentCLI
    from lightning_modules.training.accelerator import memory_errors
    from lightning_modules.training.devices import process_group_closed
    from lightning_modules.training.trainer_options import trainer_errors

    for message in EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message)
    with user_errors(), process_group_closed(), memory_errors(), trainer_errors():
        ExperimentCLI(args)


def _check_ranks() -> None:
    for name in RANKS:
        value = os.environ.get(name, "0")
        if not value.isdecimal():
            raise ValueError(
                f"the environment variable {name} is {value!r}; it must be a whole number from 0, as a launcher such "
                f"as torchrun sets it, and unset (`unset {name}`) without one"
            )
