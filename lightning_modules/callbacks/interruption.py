"""Ctrl-C keeps the work: a checkpoint, and the command that goes on from it."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only


class Interruption(Callback):
    """On Ctrl-C in `fit`, writes `checkpoints/interrupted.ckpt` and says how to continue.

    In training, the first Ctrl-C is noted and the run stops between two optimiser steps, where all counters agree and
    no gradient is half accumulated; it is also heard where Python would have dropped the exception, as in a finaliser.
    A second one stops at once.
    """

    def __init__(self) -> None:
        self.began = False
        self.pressed = False

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
        print("\nstopping after this step; Ctrl-C again stops at once", file=sys.stderr)

    def _stop_if_pressed(self) -> None:
        if self.pressed:
            raise KeyboardInterrupt

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Stop before the next step."""
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self._stop_if_pressed()

    def on_validation_batch_start(self, *_: Any) -> None:
        """Stop before the next batch."""
        self._stop_if_pressed()

    def on_train_end(self, *_: Any) -> None:
        """Stop before the test."""
        self._stop_if_pressed()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on there is work to keep: weights and counters are those of the run, also of a resumed one."""
        self.began = True

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save the state of a training, also while it validates."""
        fitting = trainer.state.fn == TrainerFn.FITTING
        if not isinstance(exception, KeyboardInterrupt) or not fitting or trainer.log_dir is None:
            return
        if not self.began:
            self._say_nothing_lost()
            return
        folder = Path(trainer.log_dir)
        checkpoint = folder / "checkpoints" / "interrupted.ckpt"
        trainer.save_checkpoint(checkpoint, weights_only=False)  # with optimiser and counters
        self._say(folder, checkpoint, trainer.global_step)

    @rank_zero_only
    def _say(self, folder: Path, checkpoint: Path, step: int) -> None:
        print(
            f"\ninterrupted after step {step}; continue with\n"
            f"  python -m lightning fit --config {folder / 'config.yaml'} --ckpt_path {checkpoint}",
            file=sys.stderr,
        )

    @rank_zero_only
    def _say_nothing_lost(self) -> None:
        line = "interrupted before training began; the same command goes on with the data made so far"
        print(f"\n{line}", file=sys.stderr)
