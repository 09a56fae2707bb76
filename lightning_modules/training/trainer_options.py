"""Options, strategies and callbacks of Lightning's Trainer that cannot work here."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning
import torch
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException

REFUSED_CALLBACKS = {
    "BackboneFinetuning": "it thaws a part called backbone; set the rates of model.stage, of which 0 freezes a part",
    "BaseFinetuning": "it only is a base for others; set the rates of model.stage, of which 0 freezes a part",
    "BasePredictionWriter": "it only is a base for others; a prediction writes answers/predict.jsonl by itself",
    "BatchSizeFinder": "it trains with a size that config.yaml does not have; set data.init_args.batch_size",
    "Callback": "it does nothing; name one that does",
    "Checkpoint": "it only is a base for others; take LastCheckpoint or ModelCheckpoint",
    "GradientAccumulationScheduler": "the schedule of rates counts steps of one size; set model.stage.global_batch",
    "LearningRateFinder": "it finds one rate, and model.stage has one per group; sweep these instead",
    "ModelPruning": "checkpoints would have other weights than the model; nothing here reads them",
    "Timer": "a duration is none that a saved config.yaml can hold; set trainer.max_time",
    "ProgressBar": "it only is a base for others; take TQDMProgressBar or RichProgressBar",
    "StochasticWeightAveraging": "it replaces the schedule of model.stage and has one rate for all groups",
}
LIGHTNING = Path(lightning.__file__).parent
# Minimum of options that may be unset; what Lightning itself refuses is not repeated here.
LEAST = {"accumulate_grad_batches": 1, "log_every_n_steps": 1, "check_val_every_n_epoch": 1, "gradient_clip_val": 0.0,
         "min_epochs": 0, "min_steps": 0}  # fmt: skip
ReadStrategy = str | Namespace


def check_trainer(trainer: Namespace) -> None:
    """Refuse trainer options that cannot work, before anything is built.

    Raises:
        ValueError: an option cannot work here; the message says what can be done instead.
    """
    check_strategy(trainer.strategy)
    for name, least in LEAST.items():
        value = trainer.get(name)
        if value is not None and not least <= value < math.inf:
            raise ValueError(f"trainer.{name} is {value}; it must be a finite number of at least {least}")
    if trainer.log_every_n_steps is None:
        trainer.log_every_n_steps = 50  # Lightning's default, which it does not apply to null
    if trainer.barebones:
        raise ValueError(
            "trainer.barebones is true, which runs without figures, checkpoints and answers; to measure speed, use "
            "`profile`, or look at speed/clips_per_second of a run"
        )
    name = strategy_name(trainer.strategy)
    if name.endswith(("_spawn", "_fork", "_notebook")):
        raise ValueError(f"trainer.strategy is {name}, which is for notebooks; set it to ddp")
    plugins = trainer.plugins if isinstance(trainer.plugins, list) else [trainer.plugins]
    if name == "FullySharded" and str(trainer.precision) in ("16", "16-mixed"):
        raise ValueError(
            f"trainer.precision is {trainer.precision}, whose scaled gradients trainer.strategy FullySharded cannot "
            "check for overflow on all devices; set it to bf16-mixed or 32-true"
        )
    joined = trainer.sync_batchnorm or any(_class(plugin) == "TorchSyncBatchNorm" for plugin in plugins)
    if joined and name in ("FullySharded", "ModelParallelStrategy"):
        raise ValueError(
            f"trainer.sync_batchnorm is true, which trainer.strategy {name} cannot do; set it to false (running "
            "statistics are joined anyway), or the strategy to ddp"
        )
    if joined and (trainer.accelerator == "cpu" or not torch.cuda.is_available()):
        raise ValueError("trainer.sync_batchnorm is true, which torch can do on GPUs only; set it to false")
    for name in ("max_epochs", "max_steps", "limit_train_batches"):
        if trainer.get(name) == 0:
            raise ValueError(f"trainer.{name} is 0, with which nothing would be trained; `test` needs no training")
    if trainer.max_time is not None and not trainer.max_time:
        raise ValueError(f"trainer.max_time is {trainer.max_time!r}; it must be a duration, such as 00:12:00:00")
    endless = trainer.max_epochs == -1 or (trainer.max_epochs is None and trainer.max_time is not None)
    if endless and trainer.max_steps == -1:
        raise ValueError(
            f"trainer.max_epochs is {trainer.max_epochs or 'null'} and trainer.max_steps is -1, but the schedule of "
            "model.stage needs an end; set one of them"
        )
    if trainer.val_check_interval == 0:
        raise ValueError("trainer.val_check_interval is 0; for no validation set trainer.limit_val_batches to 0")
    callbacks = trainer.callbacks if isinstance(trainer.callbacks, list) else [trainer.callbacks]
    for callback in callbacks:
        reason = REFUSED_CALLBACKS.get(_class(callback))
        if reason is not None:
            raise ValueError(f"trainer.callbacks has {_class(callback)}, which cannot work here: {reason}")


def _class(option: Any) -> str:
    """Return the class name of a parsed option; empty if it is not a class."""
    return str(option.class_path).rsplit(".", 1)[-1] if isinstance(option, Namespace) else ""


@contextmanager
def trainer_errors() -> Iterator[None]:
    """Report an error that Lightning itself raises during a run in one line.

    Errors of the libraries below it and of our own code pass unchanged.

    Raises:
        ValueError: Lightning itself raised an error.
        OSError: the system error upon which Lightning raised one.
    """
    try:
        yield
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
        if not Path(raised_in).is_relative_to(LIGHTNING):
            raise
        if isinstance(error.__context__, OSError):  # Lightning failed again while it cleaned up
            raise error.__context__ from None
        raise ValueError(f"trainer: {' '.join(str(error).split())}") from error


@contextmanager
def building_trainer() -> Iterator[None]:
    """Report in one line why the Trainer cannot be built: all its options are the user's.

    Raises:
        ValueError: an option is impossible, in itself or on this machine.
    """
    try:
        yield
    except (MisconfigurationException, ValueError, TypeError, RuntimeError, ImportError, ZeroDivisionError) as error:
        raise ValueError(f"trainer cannot be built: {' '.join(str(error).split())}") from error


def strategy_name(strategy: ReadStrategy) -> str:
    """Return the name or the class name of a parsed `trainer.strategy`."""
    return strategy if isinstance(strategy, str) else str(strategy.class_path).rsplit(".", 1)[-1]


def asks_deepspeed(strategy: ReadStrategy) -> bool:
    """Return whether a strategy is DeepSpeed."""
    return "deepspeed" in strategy_name(strategy).lower()


def check_strategy(strategy: ReadStrategy) -> None:
    """Refuse a strategy that this model cannot be trained with.

    Raises:
        ValueError: DeepSpeed is not installed; or the strategy is torch's first FSDP, which gathers parameters at
            other times than this model needs them.
    """
    if asks_deepspeed(strategy) and find_spec("deepspeed") is None:
        raise ValueError(
            "trainer.strategy is DeepSpeed, which needs its package: `pip install 'video-panda-lightning[deepspeed]'` "
            "(or `pip install deepspeed`); or take configs/trainer/fsdp.yaml, which needs none"
        )
    name = strategy_name(strategy)
    if name.startswith(("fsdp", "FSDP")):
        raise ValueError(
            f"trainer.strategy is {name}, which does not know what parts of this model run together; "
            "configs/trainer/fsdp.yaml shards it by torch's newer FSDP2"
        )
