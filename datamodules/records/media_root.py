"""The folder that the videos of a file of records lie in, and the promise that nothing outside it is opened."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from datamodules.records.record_error import RecordError

SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".gif")


@dataclass
class _Folder:
    """What lies in one folder: the names of its files, and which of them are links."""

    path: Path
    files: set[str]
    links: set[str]
    by_stem: dict[str, list[str]] | None = None


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
        self._listed: dict[str, _Folder] = {}

    def find(self, video: str, where: str) -> Path | None:
        """Return the file of `video`, or None where there is no such file.

        Args:
            video: path relative to the folder.
            where: words for the place of the record, for the error.

        Raises:
            RecordError: the path leads out of the folder: absolute, with `..`, or through a link.
        """
        folder, name = self._split(video, where)
        return self._file(folder, name, video, where) if name in folder.files else None

    def find_by_stem(self, video: str, where: str) -> Path | None:
        """Return the file that is called `video` and one of `SUFFIXES`, or None where there is no such file.

        Args:
            video: path relative to the folder, without the extension.
            where: words for the place of the record, for the error.

        Raises:
            RecordError: the path leads out of the folder, or there are several such files.
        """
        folder, stem = self._split(video, where)
        if folder.by_stem is None:
            folder.by_stem = defaultdict(list)
            for name in sorted(folder.files):
                if name.lower().endswith(SUFFIXES):
                    folder.by_stem[name.rpartition(".")[0]].append(name)
        names = folder.by_stem.get(stem, [])
        if len(names) > 1:
            raise RecordError(f"{where}: video {video!r} may be any of {', '.join(names)}; leave one of them there")
        return self._file(folder, names[0], video, where) if names else None

    def _split(self, video: str, where: str) -> tuple[_Folder, str]:
        slash = video.rfind("/") + 1
        known, name = self._listed.get(video[:slash]), video[slash:]
        if known is not None and name in known.files:
            return known, name  # without taking the path apart, which takes longer than all the rest
        path = Path(video)
        if "\0" in video or path.is_absolute() or ".." in path.parts or not path.name:
            raise RecordError(f"{where}: video {video!r} is not a path below the media folder {self.folder}")
        return self._list(path.parent, where), path.name

    def _file(self, folder: _Folder, name: str, video: str, where: str) -> Path:
        if name not in folder.links:
            return folder.path / name
        file = (folder.path / name).resolve()
        if not file.is_relative_to(self.folder):
            raise RecordError(f"{where}: video {video!r} is a link that leads out of the media folder {self.folder}")
        return file

    def _list(self, folder: Path, where: str) -> _Folder:
        key = "" if folder == Path() else f"{folder.as_posix()}/"
        if key not in self._listed:
            real = (self.folder / folder).resolve()
            if not real.is_relative_to(self.folder):
                raise RecordError(f"{where}: the folder {folder} is a link that leads out of {self.folder}")
            listed = _Folder(real, set(), set())
            if real.is_dir():
                with os.scandir(real) as entries:
                    for entry in entries:
                        if entry.is_file():
                            listed.files.add(entry.name)
                            if entry.is_symlink():
                                listed.links.add(entry.name)
            self._listed[key] = listed
        return self._listed[key]
