"""What a run is made of: command, config files, changes by the experiment, and the weights that it begins with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_modules.runs.folder import ORIGIN

# What can be ablated, and of the data only what a model sees: not where they lie, and how many and how they are read.
_SEEN = ("augmentation", "canvas", "fit", "sampler", "shown_frames", "train_records")
_ABLATED = ("model.", *(f"data.{key}" for key in _SEEN))
_CHANGED = ("  model.", "  data.", "  data: ", "  trainer.")  # how lines of changes begin


@dataclass(frozen=True)
class Origin:
    """Facts of a run that are known before its first step.

    Attributes:
        name: name of the experiment.
        command: what was typed, without secrets.
        files: config files of the run, the most basic first.
        changes: one line per key in which the experiment differs from the files it builds on.
        inherited: one line per key in which these files differ from the first experiment among them.
        sizes: one line per part that has more or fewer parameters for it.
        weights: lines on weights that were taken from elsewhere, or are of no training.
        base_weights: part of the model -> where its pretrained weights are from, and a hash of samples of them.
        init_from: file of another run that this one starts from, and a hash of samples of it; None of none.
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


def kept_text(folder: Path) -> str:
    """Return the `origin.txt` of a run folder; empty if there is none."""
    file = folder / ORIGIN
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def kept_changes(folder: Path) -> list[str]:
    """Return the changes that a run folder tells of, its own and those of what it builds on.

    A run that goes on with the config that it saved changes nothing of that; the experiment is what it was.
    """
    lines = kept_text(folder).splitlines()
    return list(dict.fromkeys(line.strip() for line in lines if line.startswith(_CHANGED)))
