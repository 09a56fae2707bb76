"""Ctrl-C keeps the work: a checkpoint, and the command that goes on from it."""

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
    """On Ctrl-C or SIGTERM in `fit`, writes `checkpoints/interrupted.ckpt` and says how to continue.

    In training, the first Ctrl-C is noted and the run stops between two optimiser steps, where all counters agree and
    no gradient is half accumulated; it is also heard where Python would have dropped the exception, as in a finaliser.
    A second one stops at once. SIGTERM, which a scheduler sends before it kills, is another first Ctrl-C.

    Of several processes, all stop at the same step, whichever of them was told to.
    """

    def __init__(self) -> None:
        self.began = False
        self.pressed = False
        self.agreed = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen, unless the program was started deaf to Ctrl-C (a background job); only the main thread may."""
        heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if stage == "fit" and heard and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._press)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen no longer."""
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
        """Stop if any process was told to; all must ask, at the same point."""
        if trainer.strategy.reduce_boolean_decision(self.pressed, all=False):
            self.agreed = True
            raise KeyboardInterrupt

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Stop before the next step."""
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self._stop_if_pressed(trainer)

    def on_validation_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Stop before the next batch; several processes, which may have unlike many, stop after the validation."""
        if trainer.world_size == 1:
            self._stop_if_pressed(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop before the test."""
        self._stop_if_pressed(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on there is work to keep: weights and counters are those of the run, also of a resumed one."""
        self.began = True
        # Lightning has put a handler there by now, which ends the run without a checkpoint; it takes ours away again.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._terminate)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save the state of a training, also while it validates."""
        if not isinstance(exception, KeyboardInterrupt) or trainer.state.fn != TrainerFn.FITTING:
            return
        if not self.began:
            self._tell("interrupted before training began; the same command goes on with the data made so far")
            return
        if trainer.world_size > 1 and not self.agreed:
            # Processes that stopped at different points cannot save together.
            self._tell(f"stopped at once, without a checkpoint of this step; the last one is {LAST_CHECKPOINT}")
            return
        folder = run_folder(trainer)  # which processes ask together
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
