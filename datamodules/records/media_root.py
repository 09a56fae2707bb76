"""The folder with the videos of a file of records; nothing outside it is opened."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from datamodules.records.record import RecordError

SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".gif")


def located(path: str, key: str = "a path") -> Path:
    """Return a path with `~` and environment variables expanded.

    Args:
        path: path as the user wrote it.
        key: its key in the configuration, for errors.

    Raises:
        RecordError: an environment variable is not set, or the path is empty, which would be the current folder.
    """
    if not path.strip():
        raise RecordError(f"{key} is empty; it must be the path of a file or folder (`.` for the one at hand)")
    expanded = os.path.expandvars(path)
    unset = [name for name in re.findall(r"\$\{?(\w+)", expanded) if name not in os.environ]
    if unset:
        raise RecordError(f"{path} names the environment variable {unset[0]}, which is not set")
    return Path(expanded).expanduser()


@dataclass
class _Folder:
    """The listing of one folder: the names of its files, and which of them are links."""

    path: Path
    files: set[str]
    links: set[str]
    by_name: dict[str, list[str]] | None = None  # files by their names in composed Unicode
    by_stem: dict[str, list[str]] | None = None  # videos by their composed names with and without the extension


class MediaRoot:
    """Finds videos below one folder.

    Each folder is listed once and the listing kept in memory: asking the file system about every file would take
    minutes for a large training set on a network drive.
    """

    def __init__(self, folder: Path) -> None:
        """Check that the folder exists.

        Args:
            folder: the media folder; it may itself be a link.

        Raises:
            RecordError: the folder does not exist.
        """
        if not folder.is_dir():
            raise RecordError(f"the media folder does not exist: {folder}")
        self.folder = folder.resolve()
        self._listed: dict[str, _Folder] = {}

    def find(self, video: str, where: str) -> Path | None:
        """Return the file of `video`, or None if it does not exist.

        Args:
            video: path relative to the folder; its Unicode form need not be that of the file system.
            where: description of the record's position, for errors.

        Raises:
            RecordError: the path leads out of the folder (absolute, with `..`, or through a link), or it matches
                several files in other Unicode forms.
        """
        folder, name = self._split(video, where)
        if name in folder.files:
            return self._file(folder, name, video, where)
        if folder.by_name is None:
            folder.by_name = _by_key((_composed(file), file) for file in sorted(folder.files))
        return self._only(folder, folder.by_name.get(_composed(name), []), video, where)

    def find_by_stem(self, video: str, where: str) -> Path | None:
        """Return the file of `video` with one of `SUFFIXES`, or None if it does not exist.

        Args:
            video: path relative to the folder, with or without the extension, which may be in upper case.
            where: description of the record's position, for errors.

        Raises:
            RecordError: the path leads out of the folder, or it matches several files.
        """
        folder, name = self._split(video, where)
        if folder.by_stem is None:
            videos = [file for file in sorted(folder.files) if file.lower().endswith(SUFFIXES)]
            folder.by_stem = _by_key((key, file) for file in videos for key in (_stem(file), _lower_ending(file)))
        return self._only(folder, folder.by_stem.get(_lower_ending(name), []), video, where)

    def _only(self, folder: _Folder, names: list[str], video: str, where: str) -> Path | None:
        if len(names) > 1:
            raise RecordError(f"{where}: video {video!r} may be any of {', '.join(names)}; leave one of them there")
        return self._file(folder, names[0], video, where) if names else None

    def _split(self, video: str, where: str) -> tuple[_Folder, str]:
        slash = video.rfind("/") + 1
        folder, name = self._listed.get(video[:slash]), video[slash:]
        if folder is not None and name in folder.files:
            return folder, name  # without parsing the path, which takes longer than everything else
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
            if not real.is_dir() and folder != Path():
                above = self._list(folder.parent, where).path  # the name may be in another Unicode form
                same = [entry for entry in _folders(above) if _composed(entry) == _composed(folder.name)]
                listed.path = real = (above / same[0]).resolve() if len(same) == 1 else real
                if not real.is_relative_to(self.folder):
                    raise RecordError(f"{where}: the folder {folder} is a link that leads out of {self.folder}")
            if real.is_dir():
                with os.scandir(real) as entries:
                    for entry in entries:
                        if entry.is_file():
                            listed.files.add(entry.name)
                            if entry.is_symlink():
                                listed.links.add(entry.name)
            self._listed[key] = listed
        return self._listed[key]


def _composed(name: str) -> str:
    """Return a name in composed Unicode: some file systems and keyboards write `é` as two characters."""
    return unicodedata.normalize("NFC", name)


def _stem(file: str) -> str:
    return _composed(file).rpartition(".")[0]


def _lower_ending(name: str) -> str:
    stem, dot, ending = _composed(name).rpartition(".")
    return f"{stem}.{ending.lower()}" if f".{ending.lower()}" in SUFFIXES and dot else _composed(name)


def _by_key(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    files = defaultdict(list)
    for key, file in pairs:
        files[key].append(file)
    return dict(files)


def _folders(above: Path) -> list[str]:
    return [entry.name for entry in os.scandir(above) if entry.is_dir()] if above.is_dir() else []
