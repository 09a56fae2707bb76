"""The runs of one experiment and seed: a name is used again with `.2`, `.3` ... behind the seed."""

from __future__ import annotations

from pathlib import Path


def attempts(runs: Path, name: str, seed: int) -> list[Path]:
    """Return the run folders of an experiment and seed, the latest last."""
    folders = [folder for folder in (runs / name).glob(f"seed_{seed}*") if folder.stem == f"seed_{seed}"]
    return sorted(folders, key=lambda folder: int(folder.suffix[1:] or 1))


def latest_trained(runs: Path, name: str, seed: int) -> Path | None:
    """Return the folder of the latest run of this name and seed that trained at all."""
    trained = [folder for folder in attempts(runs, name, seed) if is_finished(folder) or checkpoint(folder)]
    return trained[-1] if trained else None


def is_finished(folder: Path) -> bool:
    """Whether the training in `folder` came to its end."""
    return (folder / "summary.json").is_file()


def checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint that a run can go on from."""
    files = [folder / "checkpoints" / name for name in ("last.ckpt", "interrupted.ckpt")]
    return max((file for file in files if file.is_file()), key=lambda file: file.stat().st_mtime, default=None)
