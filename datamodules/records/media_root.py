"""The folder that the videos of a file of records lie in, and the promise that nothing outside it is opened."""

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
    """Return the path that a user means: `~` is their home, and `$NAME` what the environment says of it.

    Args:
        path: as written.
        key: what it is called in a configuration.

    Raises:
        RecordError: the environment does not, or nothing is written, which would be the folder one happens to be in.
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
    """What lies in one folder: the names of its files, and which of them are links."""

    path: Path
    files: set[str]
    links: set[str]
    named: dict[str, list[str]] | None = None  # by their names in one form of Unicode
    by_stem: dict[str, list[str]] | None = None  # videos, by their names in that form with and without their ending


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
            video: path relative to the folder; its Unicode form need not be that of the file system.
            where: words for the place of the record, for the error.

        Raises:
            RecordError: the path leads out of the folder: absolute, with `..`, or through a link; or it is not there as
                it stands, but twice in other Unicode forms.
        """
        folder, name = self._split(video, where)
        if name in folder.files:
            return self._file(folder, name, video, where)
        if folder.named is None:
            folder.named = _by_key((_composed(file), file) for file in sorted(folder.files))
        return self._only(folder, folder.named.get(_composed(name), []), video, where)

    def find_by_stem(self, video: str, where: str) -> Path | None:
        """Return the file that is called `video` and one of `SUFFIXES`, or None where there is no such file.

        Args:
            video: path relative to the folder, with or without the extension, which may be in upper case.
            where: words for the place of the record, for the error.

        Raises:
            RecordError: the path leads out of the folder, or there are several such files.
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
            if not real.is_dir() and folder != Path():
                above = self._list(folder.parent, where).path  # it may be called so in another form of Unicode
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
    """Return a name in one form: some file systems, and who types names there, write `é` as two characters."""
    return unicodedata.normalize("NFC", name)


def _stem(file: str) -> str:
    return _composed(file).rpartition(".")[0]


def _lower_ending(name: str) -> str:
    stem, dot, ending = _composed(name).rpartition(".")
    return f"{stem}.{ending.lower()}" if f".{ending.lower()}" in SUFFIXES and dot else _composed(name)


def _by_key(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found = defaultdict(list)
    for key, file in pairs:
        found[key].append(file)
    return dict(found)


def _folders(above: Path) -> list[str]:
    return [entry.name for entry in os.scandir(above) if entry.is_dir()] if above.is_dir() else []
