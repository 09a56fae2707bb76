"""Writes the origin of a run into its folder: `origin.txt` and `config.yaml`."""

from __future__ import annotations

from pathlib import Path

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

from components.files import write_whole
from lightning_modules.runs.folder import CONFIG, ORIGIN, run_folder
from lightning_modules.runs.logger_families import shown_by
from lightning_modules.runs.origin import Origin, recorded_text
from lightning_modules.video_language import VideoLanguageModel


class OriginFile(Callback):
    """Writes `origin.txt` into the run folder when the run begins, and shows it in the loggers."""

    def __init__(self, origin: Origin) -> None:
        """Store the origin."""
        self.origin = origin
        self._written = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file once; a run that is resumed with another origin appends to it."""
        folder = run_folder(trainer)
        # The test after a training is a part of that run.
        if self._written or folder is None or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, VideoLanguageModel)
        self._written = True
        recorded, text = recorded_text(folder), self.origin.text(pl_module.data.manifest.sha256)
        if text not in recorded:
            recorded += text if not recorded else f"\nwent on with\n\n{text}"
            write_whole(folder / ORIGIN, recorded)
        for family in shown_by(trainer):
            family.text("origin", f"```\n{recorded}```")


class ConfigFile(SaveConfigCallback):
    """Writes `config.yaml` atomically: Lightning's own callback truncates the earlier file of a resumed run first."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file; called on the first process only."""
        content = self.parser.dump(self.config, skip_unset=False)
        write_whole(Path(trainer.default_root_dir) / CONFIG, content)
