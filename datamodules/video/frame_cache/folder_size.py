"""How much a folder holds, as counted by all the processes that write to it."""

from __future__ import annotations

from pathlib import Path

UNIT = 2**16


class FolderSize:
    """A file that has one byte for every 64 KiB that were written beside it.

    To look at its length takes one call, where to add up 700,000 files takes minutes on a network drive. Processes only
    append to it, so none needs to know of another. It is a bound from above: a file that two processes write at the
    same moment counts twice.
    """

    def __init__(self, folder: Path) -> None:
        """Name the folder, which need not be there yet."""
        self.file = folder / "size"

    def bytes(self) -> int:
        """Return the size so far; 0 where nothing was written, or nothing can be looked at."""
        try:
            return self.file.stat().st_size * UNIT
        except OSError:
            return 0

    def add(self, size: int) -> None:
        """Count another file.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("ab") as file:
            file.write(b"\0" * -(-size // UNIT))
