"""Loggers of a run: TensorBoard and CSV in its folder, and any others that the user configures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from lightning_modules.runs.folder import keep_metrics


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


def start(loggers: Sequence[Logger]) -> None:
    """Start the user's loggers, which come after the two of every run, before the run begins.

    Raises:
        ValueError: one cannot start, for instance without an account or a server.
    """
    for logger in loggers[2:]:
        try:
            getattr(logger, "experiment", None)  # starts the logger
        except Exception as error:  # a service may raise anything
            raise ValueError(f"trainer.logger {type(logger).__name__} cannot begin: {_in_one_line(error)}") from error


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
