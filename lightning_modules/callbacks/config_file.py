"""The resolved configuration of a run, from which it goes on, is tested, exported and done once more."""

from __future__ import annotations

from pathlib import Path

from lightning import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

from components.whole_file import write_whole


class ConfigFile(SaveConfigCallback):
    """Writes `config.yaml` whole: Lightning's own would cut the earlier one before it writes, when a run goes on."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write it; asked of the first process alone."""
        content = self.parser.dump(self.config, skip_unset=False)
        write_whole(Path(trainer.default_root_dir) / self.config_filename, content)
