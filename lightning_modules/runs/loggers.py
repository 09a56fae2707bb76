"""Loggers of a run: TensorBoard and CSV in its folder, and any others that the user configures."""

from __future__ import annotations

import inspect
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from components.files import read_object, write_whole
from lightning_modules.runs.folder import LOGGERS, keep_metrics
from lightning_modules.runs.logger_families import LoggerFamily, family_of


def run_loggers(trainer: Namespace, folder: Path) -> list[Logger]:
    """Return the loggers of a run, first the two that every run has; none for `trainer.logger: false`.

    Args:
        trainer: options of the trainer, with the user's loggers already built.
        folder: run folder.

    Raises:
        ValueError: a logger of the user would write the same files as one that every run has.
    """
    option: Logger | Iterable[Logger] | bool | None = trainer.logger
    if option is False:
        return []
    further = [option] if isinstance(option, Logger) else [] if option is None or option is True else list(option)
    for logger in further:
        if isinstance(logger, CSVLogger | TensorBoardLogger) and Path(logger.log_dir).resolve() == folder.resolve():
            raise ValueError(
                f"trainer.logger {type(logger).__name__} writes into {folder}, where every run has one; leave it out, "
                "or give it another save_dir"
            )
    root, name, version = folder.parent.parent, folder.parent.name, folder.name
    if not trainer.fast_dev_run:  # a `fast_dev_run` logs nothing
        rank_zero_only(keep_metrics)(folder)
    return [TensorBoardLogger(root, name, version, default_hp_metric=False), CSVLogger(root, name, version), *further]


def named(folder: Path) -> Callable[..., Logger]:
    """Return how loggers are built: what the user left open of their names is that of the run folder.

    A service goes on with the run that it had for this folder, if there was one.
    """
    earlier = read_object(folder / LOGGERS) if (folder / LOGGERS).is_file() else {}
    built: Counter[str] = Counter()

    def build(kind: type[Logger], **settings: Any) -> Logger:
        identities = earlier.get(kind.__name__, [])
        number, built[kind.__name__] = built[kind.__name__], built[kind.__name__] + 1
        arguments = family_of(kind).arguments(folder, identities[number] if number < len(identities) else None)
        defaults = inspect.signature(kind).parameters
        left_open = {
            name: value
            for name, value in arguments.items()
            if name in settings and settings[name] == (defaults[name].default if name in defaults else None)
        }
        return kind(**settings | left_open)

    return build


def further(loggers: Sequence[Logger]) -> list[LoggerFamily]:
    """Return the loggers of the user, which come after the two of every run, by their families."""
    return [family_of(type(logger))(logger) for logger in loggers[2:]]


@contextmanager
def started(loggers: Sequence[Logger]) -> Iterator[None]:
    """Start the user's loggers before the run begins, and end them with it.

    Raises:
        ValueError: one cannot start, for instance without an account or a server.
    """
    for logger in loggers[2:]:
        try:
            getattr(logger, "experiment", None)  # starts the logger
        except Exception as error:  # a service may raise anything
            raise ValueError(f"trainer.logger {type(logger).__name__} cannot begin: {_in_one_line(error)}") from error
    failed = True
    try:
        yield
        failed = False
    finally:
        for family in further(loggers):
            family.end(failed)


def remember(loggers: Sequence[Logger], folder: Path) -> None:
    """Write what services know the run by, so that it goes on there when it is resumed."""
    identities: dict[str, list[str]] = {}
    for family in further(loggers):
        if family.identity is not None:
            identities.setdefault(type(family.logger).__name__, []).append(family.identity)
    if identities:
        write_whole(folder / LOGGERS, json.dumps(identities, indent=2) + "\n")


class StepLabels(Callback):
    """Sets the step under which figures are logged to the number of optimiser steps; comes before all that log.

    Lightning counts one step too many when it resumes from a checkpoint that was written between two steps, as ours
    are, and not at the end of a batch.
    """

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Set the step before anything is logged; there is no public setting for it."""
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step


@contextmanager
def explained() -> Iterator[None]:
    """Report in one line why a logger cannot be built: the parser's message shows its settings, maybe secrets.

    Raises:
        ValueError: a logger cannot be built, for instance without its library.
    """
    try:
        yield
    except ValueError as error:
        if Logger.__module__ not in str(error):
            raise
        cause: BaseException = error
        while (earlier := cause.__cause__ or cause.__context__) is not None:
            cause = earlier
        raise ValueError(f"trainer.logger cannot be built: {_in_one_line(cause)}") from None


def _in_one_line(error: BaseException) -> str:
    return " ".join(str(error).partition("Given value")[0].split()) or type(error).__name__
