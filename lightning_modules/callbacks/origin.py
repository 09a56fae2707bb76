"""What an experiment is made of, kept with its run: the chain of config files, and what the experiment changes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger


class Origin(Callback):
    """Writes `origin.txt` into the run's folder and shows it in TensorBoard's text tab.

    Attributes:
        files: config files of the run, the most basic first.
        changes: one line per key in which the experiment differs from the files it builds on.
        sizes: one line per part that has more or fewer parameters for it.
        weights: what was taken from another run's checkpoint, if any was.
    """

    def __init__(self) -> None:
        self.files: Sequence[Path] = ()
        self.changes: Sequence[str] = ()
        self.sizes: Sequence[str] = ()
        self.weights: Sequence[str] = ()
        self._written = False

    def text(self) -> str:
        """Return files and changes as plain text."""
        lines = ["config files, later ones win:", *(f"  {os.path.normpath(file)}" for file in self.files)]
        lines += ["changed by the experiment:", *(f"  {change}" for change in self.changes or ["nothing"])]
        lines += [f"  {size}" for size in self.sizes]
        lines += self.weights
        return "\n".join(lines) + "\n"

    def ablated(self) -> str:
        """Return what the experiment puts into slots, in a line that fits a narrow column: `FrameOnly, frames: 4`.

        Of what changed in model and data, a class stands for itself, another value beside its key.
        """
        cells = []
        for change in self.changes:
            key, _, values = change.partition(": ")
            value = values.rsplit(" -> ", 1)[-1]
            if key.startswith(("model.", "data.")):
                cells.append(value if value[:1].isupper() else f"{key.rsplit('.', 1)[-1]}: {value}")
        return ", ".join(cells) or "-"

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write it once, when the run begins."""
        folder, quick = trainer.log_dir, trainer.fast_dev_run  # type: ignore[attr-defined]  # set by a connector
        # The test after a training is a part of that run.
        if self._written or folder is None or quick or not trainer.is_global_zero:
            return
        self._written = True
        Path(folder).mkdir(parents=True, exist_ok=True)
        Path(folder, "origin.txt").write_text(self.text(), encoding="utf-8")
        if isinstance(trainer.logger, TensorBoardLogger):
            trainer.logger.experiment.add_text("origin", f"```\n{self.text()}```")
