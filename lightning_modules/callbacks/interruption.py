"""Ctrl-C keeps the work: a checkpoint, and the command that goes on from it."""

from __future__ import annotations

import sys
from pathlib import Path

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only


class Interruption(Callback):
    """On Ctrl-C in `fit`, writes `checkpoints/interrupted.ckpt` and says how to continue."""

    def __init__(self) -> None:
        self.began = False

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
        trainer.save_checkpoint(checkpoint)
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
