"""The folder that the videos of a file of records lie in, and the promise that nothing outside it is opened."""

from __future__ import annotations

import os
from pathlib import Path

from datamodules.records.record_error import RecordError


class MediaRoot:
    """Finds videos below one folder.

    Each folder is listed once and looked up in memory from then on: asking the file system about every file would take
    minutes for a large training set on a network drive.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder.

        Args:
            folder: the media folder; it may itself be a link.

        Raises:
            RecordError: there is no such folder.
        """
        if not folder.is_dir():
            raise RecordError(f"the media folder does not exist: {folder}")
        self.folder = folder.resolve()
        self._listed: dict[str, dict[str, Path]] = {}

    def find(self, video: str, where: str) -> Path:
        """Return the file of `video`; whether it exists is another question (`has`).

        Args:
            video: path relative to the folder.
            where: words for the place of the record, for the error.

        Raises:
            RecordError: the path leads out of the folder: absolute, with `..`, or through a link.
        """
        path = Path(video)
        if "\0" in video or path.is_absolute() or ".." in path.parts or not path.name:
            raise RecordError(f"{where}: video {video!r} is not a path below the media folder {self.folder}")
        file = self._files(path.parent, where).get(path.name, self.folder / path)
        if not file.is_relative_to(self.folder):
            raise RecordError(f"{where}: video {video!r} is a link that leads out of the media folder {self.folder}")
        return file

    def has(self, video: str) -> bool:
        """Tell whether a video that was found is a file that exists."""
        path = Path(video)
        return path.name in self._listed[str(path.parent)]

    def _files(self, folder: Path, where: str) -> dict[str, Path]:
        """List one folder: real path by name, links followed."""
        if str(folder) not in self._listed:
            real = (self.folder / folder).resolve()
            if not real.is_relative_to(self.folder):
                raise RecordError(f"{where}: the folder {folder} is a link that leads out of {self.folder}")
            files = {}
            if real.is_dir():
                with os.scandir(real) as entries:
                    for entry in entries:
                        if entry.is_file():
                            file = real / entry.name
                            files[entry.name] = file.resolve() if entry.is_symlink() else file
            self._listed[str(folder)] = files
        return self._listed[str(folder)]
