"""What an experiment is made of, kept with its run: the chain of config files, and what the experiment changes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger

from components.files import write_whole
from lightning_modules.runs.folder import CONFIG, ORIGIN, run_folder
from lightning_modules.video_language import VideoLanguageModel

# What can be ablated, and of the data only what a model sees: not where they lie, and how many and how they are read.
_SEEN = ("augmentation", "canvas", "fit", "sampler", "shown_frames", "train_records")
_ABLATED = ("model.", *(f"data.{key}" for key in _SEEN))
_CHANGED = ("  model.", "  data.", "  data: ", "  trainer.")  # how lines of changes begin


class Origin(Callback):
    """Writes `origin.txt` into the run's folder and shows it in TensorBoard's text tab.

    Attributes:
        name: of the experiment.
        command: what was typed, without secrets.
        files: config files of the run, the most basic first.
        changes: one line per key in which the experiment differs from the files it builds on.
        inherited: one line per key in which these files differ from the first experiment among them.
        sizes: one line per part that has more or fewer parameters for it.
        weights: what was taken from another run's checkpoint, if any was.
        base_weights: part of the model -> where its pretrained weights are from, and a hash of samples of them.
        init_from: file of another run that this one starts from, and a hash of samples of it; None of none.
        manifest: hash of the manifest of the data; empty if there is none.
    """

    def __init__(self) -> None:
        self.name = ""
        self.command = ""
        self.files: Sequence[Path] = ()
        self.changes: Sequence[str] = ()
        self.inherited: Sequence[str] = ()
        self.sizes: Sequence[str] = ()
        self.weights: Sequence[str] = ()
        self.base_weights: Mapping[str, Any] = {}
        self.init_from: Mapping[str, Any] | None = None
        self.manifest = ""
        self._written = False

    def text(self) -> str:
        """Return files and changes as plain text."""
        lines = ["config files, later ones win:", *(f"  {os.path.normpath(file)}" for file in self.files)]
        lines += ["changed by the experiment:", *(f"  {change}" for change in self.changes or ["nothing"])]
        lines += [f"  {size}" for size in self.sizes]
        if self.inherited:
            lines += ["changed by what it builds on:", *(f"  {change}" for change in self.inherited)]
        lines += self.weights
        lines += [f"data manifest: sha256 {self.manifest}"] if self.manifest else []
        return "\n".join(lines) + "\n"

    def facts(self) -> dict[str, Any]:
        """Return what figures of the run come from, as far as it was asked for; ready for JSON."""
        return {
            "experiment": self.name,
            "command": self.command,
            "config_files": [os.path.normpath(file) for file in self.files],
            "weights": list(self.weights),
            "base_weights": self.base_weights,
            "init_from": self.init_from,
        }

    def ablated(self) -> str:
        """Return what the experiment puts into slots, in a line that fits a narrow column: `FrameOnly, frames: 4`.

        Of what changed in the model and in what it sees, a class stands for itself, another value beside its key.
        """
        cells = {}
        for change in [*self.inherited, *self.changes]:
            key, _, values = change.partition(": ")
            value = values.rsplit(" -> ", 1)[-1]
            if key.startswith(_ABLATED) and not key.startswith("model.feature_cache"):
                cells[key] = value if value[:1].isupper() else f"{key.rsplit('.', 1)[-1]}: {value}"
        return ", ".join(cells.values()) or "-"

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write it once, when the run begins."""
        folder = run_folder(trainer)
        # The test after a training is a part of that run.
        if self._written or folder is None or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, VideoLanguageModel)
        self._written, self.manifest = True, pl_module.data.manifest.sha256
        file = folder / ORIGIN
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        # A run that goes on with the config that it saved changes nothing of that; the experiment is what it was.
        before = dict.fromkeys(line.strip() for line in text.splitlines() if line.startswith(_CHANGED))
        self.changes = self.changes or list(before)
        if self.text() not in text:
            text += self.text() if not text else f"\nwent on with\n\n{self.text()}"
            write_whole(file, text)
        if isinstance(trainer.logger, TensorBoardLogger):
            trainer.logger.experiment.add_text("origin", f"```\n{text}```")


class ConfigFile(SaveConfigCallback):
    """Writes `config.yaml` whole: Lightning's own would cut the earlier one before it writes, when a run goes on."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write it; asked of the first process alone."""
        content = self.parser.dump(self.config, skip_unset=False)
        write_whole(Path(trainer.default_root_dir) / CONFIG, content)
