"""Handles Ctrl-C and SIGTERM: saves a checkpoint, and prints the command that resumes from it."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only

from datamodules.printable import say
from lightning_modules.runs.folder import CONFIG, INTERRUPTED_CHECKPOINT, LAST_CHECKPOINT, run_folder


class Interruption(Callback):
    """On Ctrl-C or SIGTERM in `fit`, writes `checkpoints/interrupted.ckpt` and prints how to resume.

    After the first Ctrl-C in a training, the run stops between two optimiser steps, where all counters agree and no
    gradient is partly accumulated. This also works where Python would drop the exception, as in a finaliser. A second
    Ctrl-C stops at once. SIGTERM, which a scheduler sends before it kills, is like a first Ctrl-C.

    All processes stop at the same step, no matter which one received the signal.
    """

    def __init__(self) -> None:
        self.began = False
        self.pressed = False
        self.agreed = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Handle Ctrl-C, unless the program was started to ignore it, as a background job; main thread only."""
        is_handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if stage == "fit" and is_handled and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._press)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore Python's own handler."""
        if signal.getsignal(signal.SIGINT) == self._press:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _press(self, number: int, frame: FrameType | None) -> None:
        if self.pressed or not self.began:
            raise KeyboardInterrupt
        self.pressed = True
        self._tell("stopping after this step; Ctrl-C again stops at once")

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self.pressed = True

    def _stop_if_pressed(self, trainer: Trainer) -> None:
        """Stop if any process has received a signal; all processes must call this at the same point."""
        if trainer.strategy.reduce_boolean_decision(self.pressed, all=False):
            self.agreed = True
            raise KeyboardInterrupt

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Stop before the next step."""
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self._stop_if_pressed(trainer)

    def on_validation_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Stop before the next batch; several processes, which may differ in batches, stop after the validation."""
        if trainer.world_size == 1:
            self._stop_if_pressed(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop before the test."""
        self._stop_if_pressed(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save a checkpoint on interruptions from here on, when weights and counters are those of the run."""
        self.began = True
        # Replaces Lightning's handler, which ends the run without a checkpoint; Lightning removes ours at the end.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._terminate)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save the state of a training, also during a validation."""
        if not isinstance(exception, KeyboardInterrupt) or trainer.state.fn != TrainerFn.FITTING:
            return
        if not self.began:
            self._tell("interrupted before training began; the same command goes on with the data made so far")
            return
        if trainer.world_size > 1 and not self.agreed:
            # Processes that stopped at different points cannot save together.
            self._tell(f"stopped at once, without a checkpoint of this step; the last one is {LAST_CHECKPOINT}")
            return
        folder = run_folder(trainer)  # all processes must call this
        if folder is None:
            return
        checkpoint = folder / INTERRUPTED_CHECKPOINT
        trainer.save_checkpoint(checkpoint, weights_only=False)  # with optimiser and counters
        self._tell(
            f"interrupted after step {trainer.global_step}; continue with\n"
            f"  python -m lightning fit --config {folder / CONFIG} --ckpt_path {checkpoint}"
        )

    @rank_zero_only
    def _tell(self, line: str) -> None:
        say(f"\n{line}", file=sys.stderr)
