"""What logs a run, at which steps: TensorBoard and CSV in its folder, and beside them whatever the user names."""

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
        trainer: settings of the trainer, with the loggers of the user already built.
        folder: of the run.

    Raises:
        ValueError: a logger of the user would write the files of one that every run has.
    """
    asked: Logger | Iterable[Logger] | bool | None = trainer.logger
    if asked is False:
        return []
    named = [asked] if isinstance(asked, Logger) else [] if asked is None or asked is True else list(asked)
    for logger in named:
        if isinstance(logger, CSVLogger | TensorBoardLogger) and Path(logger.log_dir).resolve() == folder.resolve():
            raise ValueError(
                f"trainer.logger {type(logger).__name__} writes into {folder}, where every run has one; leave it out, "
                "or give it another save_dir"
            )
    root, name, version = folder.parent.parent, folder.parent.name, folder.name
    if not trainer.fast_dev_run:  # which logs nothing
        rank_zero_only(keep_metrics)(folder)
    return [TensorBoardLogger(root, name, version, default_hp_metric=False), CSVLogger(root, name, version), *named]


def start(loggers: Sequence[Logger]) -> None:
    """Start the loggers that the user names, which come after the two of every run, before the run begins.

    Raises:
        ValueError: one cannot start, for lack of an account or a server for instance.
    """
    for logger in loggers[2:]:
        try:
            getattr(logger, "experiment", None)  # which starts it
        except Exception as error:  # whatever a service may raise
            raise ValueError(f"trainer.logger {type(logger).__name__} cannot begin: {_in_one_line(error)}") from error


class StepLabels(Callback):
    """Sets the counter by which loggers label figures to the number of optimiser steps; comes before whoever logs.

    Lightning counts one step more when it goes on from a checkpoint that was not written at the end of a batch. Ours
    are written between two steps, where that step is already counted.
    """

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Set it before anything of this step is logged; no public setting does."""
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step


@contextmanager
def explained() -> Iterator[None]:
    """Explain in one line why a logger cannot be built: the parser's text shows its settings, which may be secret.

    Raises:
        ValueError: one cannot be built, for lack of its library for instance.
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
