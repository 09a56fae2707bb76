"""The origin of a run: command, config files, changes of the experiment, and initial weights."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_modules.runs.folder import ORIGIN

# Settings that can be ablated; of the data only those that change the model's input.
_SEEN = ("augmentation", "canvas", "fit", "sampler", "shown_frames", "train_records")
_ABLATED = ("model.", *(f"data.{key}" for key in _SEEN))
_CHANGED = ("  model.", "  data.", "  data: ", "  trainer.")  # beginnings of lines with changes


@dataclass(frozen=True)
class Origin:
    """Facts about a run that are known before its first step.

    Attributes:
        name: name of the experiment.
        command: command line, without secrets.
        files: config files of the run, the most basic first.
        changes: one line per key in which the experiment differs from the files that it builds on.
        inherited: one line per key in which these files differ from the first experiment among them.
        sizes: one line per part whose number of parameters the experiment changes.
        weights: lines about weights that were loaded from another run, not used, or are random.
        base_weights: part of the model -> source of its pretrained weights, and a hash of samples of them.
        init_from: checkpoint of another run with the initial weights, and a hash of samples of it; None without one.
    """

    name: str = ""
    command: str = ""
    files: Sequence[Path] = ()
    changes: Sequence[str] = ()
    inherited: Sequence[str] = ()
    sizes: Sequence[str] = ()
    weights: Sequence[str] = ()
    base_weights: Mapping[str, Any] = field(default_factory=dict)
    init_from: Mapping[str, Any] | None = None

    def text(self, manifest: str = "") -> str:
        """Return files and changes as plain text.

        Args:
            manifest: hash of the manifest of the data; empty if there is none.
        """
        lines = ["config files, later ones win:", *(f"  {os.path.normpath(file)}" for file in self.files)]
        lines += ["changed by the experiment:", *(f"  {change}" for change in self.changes or ["nothing"])]
        lines += [f"  {size}" for size in self.sizes]
        if self.inherited:
            lines += ["changed by what it builds on:", *(f"  {change}" for change in self.inherited)]
        lines += self.weights
        lines += [f"data manifest: sha256 {manifest}"] if manifest else []
        return "\n".join(lines) + "\n"

    def facts(self) -> dict[str, Any]:
        """Return the origin as recorded beside the figures of the run, ready for JSON."""
        return {
            "experiment": self.name,
            "command": self.command,
            "config_files": [os.path.normpath(file) for file in self.files],
            "weights": list(self.weights),
            "base_weights": self.base_weights,
            "init_from": self.init_from,
        }

    def ablated(self) -> str:
        """Return the ablated components and settings in a line that fits a narrow column: `FrameOnly, frames: 4`.

        A class is shown without its key, any other value with it.
        """
        cells = {}
        for change in [*self.inherited, *self.changes]:
            key, _, values = change.partition(": ")
            value = values.rsplit(" -> ", 1)[-1]
            if key.startswith(_ABLATED) and not key.startswith("model.feature_cache"):
                cells[key] = value if value[:1].isupper() else f"{key.rsplit('.', 1)[-1]}: {value}"
        return ", ".join(cells.values()) or "-"


def recorded_text(folder: Path) -> str:
    """Return the `origin.txt` of a run folder; empty if there is none."""
    file = folder / ORIGIN
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def recorded_changes(folder: Path) -> list[str]:
    """Return the changes recorded in a run folder, own and inherited ones.

    A run that is resumed with its saved config has no changes of its own; those of its experiment are still valid.
    """
    lines = recorded_text(folder).splitlines()
    return list(dict.fromkeys(line.strip() for line in lines if line.startswith(_CHANGED)))
