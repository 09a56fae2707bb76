"""What a run is made of, kept with it: `origin.txt` and `config.yaml`."""

from __future__ import annotations

from pathlib import Path

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger

from components.files import write_whole
from lightning_modules.runs.folder import CONFIG, ORIGIN, run_folder
from lightning_modules.runs.origin import Origin, kept_text
from lightning_modules.video_language import VideoLanguageModel


class OriginFile(Callback):
    """Writes `origin.txt` into the run's folder when the run begins, and shows it in TensorBoard's text tab."""

    def __init__(self, origin: Origin) -> None:
        """Take what is written."""
        self.origin = origin
        self._written = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write it once; a run that goes on with another origin than it began with appends to it."""
        folder = run_folder(trainer)
        # The test after a training is a part of that run.
        if self._written or folder is None or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, VideoLanguageModel)
        self._written = True
        kept, text = kept_text(folder), self.origin.text(pl_module.data.manifest.sha256)
        if text not in kept:
            kept += text if not kept else f"\nwent on with\n\n{text}"
            write_whole(folder / ORIGIN, kept)
        if isinstance(trainer.logger, TensorBoardLogger):
            trainer.logger.experiment.add_text("origin", f"```\n{kept}```")


class ConfigFile(SaveConfigCallback):
    """Writes `config.yaml` whole: Lightning's own would cut the earlier one before it writes, when a run goes on."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write it; asked of the first process alone."""
        content = self.parser.dump(self.config, skip_unset=False)
        write_whole(Path(trainer.default_root_dir) / CONFIG, content)
