"""The runs of one experiment and seed: a name is used again with `.2`, `.3` ... behind the seed."""

from __future__ import annotations

from pathlib import Path


def attempts(runs: Path, name: str, seed: int) -> list[Path]:
    """Return the run folders of an experiment and seed, the latest last."""
    folders = [folder for folder in (runs / name).glob(f"seed_{seed}*") if folder.stem == f"seed_{seed}"]
    return sorted(folders, key=lambda folder: int(folder.suffix[1:] or 1))
