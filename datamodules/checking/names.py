"""How clips are named in a manifest, so that it holds wherever their folder lies."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def named(root: Path, files: Iterable[Path]) -> dict[str, Path]:
    """Return clips by their path below the media root, or their absolute path where they lie elsewhere; each once."""
    roots = (root, root.resolve())  # records may have followed a link

    def name(file: Path) -> str:
        folder = next((folder for folder in roots if file.is_relative_to(folder)), None)
        return (file.absolute() if folder is None else file.relative_to(folder)).as_posix()

    return {name(file): file for file in files}
