"""What a user sets for a sweep that adds seeds until its rows are decided."""

from __future__ import annotations

import argparse

from ablation.comparing.sequential import FIRST
from ablation.comparing.unit import PERCENT
from ablation.sweep.budget import seconds_of
from ablation.sweep.until_decided import Until

MAX_SEEDS = 12


def add_until_options(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each."""
    parser.add_argument("--until", choices=["decided"], help="add seeds to each row until it is better, worse or not"
                        " distinguishable from the baseline")  # fmt: skip
    parser.add_argument("--max-seeds", type=int, help=f"with --until, seeds of a row at most; default {MAX_SEEDS}")
    parser.add_argument("--smallest", type=float, help="with --until, the difference that matters, in percentage"
                        f" points; default {PERCENT.smallest:g}")  # fmt: skip
    parser.add_argument("--budget", help="with --until, how long to train, such as 2h; what is in work is finished")


def until_options(known: argparse.Namespace) -> Until | None:
    """Return what is asked for; None without `--until`.

    Raises:
        ValueError: a flag goes only with it or not with it, or a number is none.
    """
    if known.until is None:
        for name, value in (
            ("--max-seeds", known.max_seeds),
            ("--smallest", known.smallest),
            ("--budget", known.budget),
        ):
            if value is not None:
                raise ValueError(f"{name} goes with --until decided, which is not given")
        return None
    if known.slurm is not None:
        raise ValueError(
            "--until decided looks at runs before it trains others, which --slurm does not wait for; give --seeds there"
        )
    if known.seeds is not None:
        raise ValueError("--seeds does not go with --until decided, which takes seeds 0, 1, ... up to --max-seeds")
    most = MAX_SEEDS if known.max_seeds is None else known.max_seeds
    smallest = PERCENT.smallest if known.smallest is None else known.smallest
    if most < FIRST:
        raise ValueError(f"--max-seeds is {most}; the first look is at {FIRST} seeds, so that it must be at least that")
    if not 0 < smallest < PERCENT.best:
        raise ValueError(f"--smallest is {smallest:g}; it must be between 0 and {PERCENT.best} {PERCENT.points}")
    return Until(most, smallest, None if known.budget is None else seconds_of(known.budget))
