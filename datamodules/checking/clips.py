"""The clips to check: those of a folder, or those of the splits of a data module."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.video.image_reader import SUFFIXES as PICTURE

if TYPE_CHECKING:
    from datamodules.records import RecordTable

VIDEO = re.compile(r"\.(3gp|apng|asf|avi|flv|gif|ivf|m2ts|m4v|mkv|mov|mp4|mpe?g|mts|mxf|og[gv]|ts|webm|wmv)", re.I)
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Clips:
    """The clips to check.

    Attributes:
        root: media root, to which paths in reports are relative.
        splits: distinct clips of each split.
        ignored: number of other files in the folder, by suffix.
    """

    root: Path
    splits: Mapping[str, Sequence[Path]]
    ignored: Mapping[str, int]

    def distinct(self) -> dict[str, Path]:
        """Return every clip once, by its path below the root."""
        return by_relative_path(self.root, (file for files in self.splits.values() for file in files))


def clips_of_folder(folder: Path) -> Clips:
    """Return all files below a folder with the suffix of a video or picture; links to folders are not followed.

    Raises:
        ValueError: the folder does not exist or has no clips.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    clips, ignored = [], Counter[str]()
    for parent, _, names in os.walk(folder):
        for name in names:
            file = Path(parent, name)
            if VIDEO.fullmatch(file.suffix) or file.suffix.lower() in PICTURE:
                clips.append(file)
            else:
                ignored[file.suffix.lower() or "no suffix"] += 1
    if not clips:
        raise ValueError(f"{folder} has no files that are named like videos or pictures, such as .mp4")
    return Clips(folder, {"folder": sorted(clips)}, ignored)


def clips_of_records(root: Path, records: Mapping[str, RecordTable]) -> Clips:
    """Return the clips of the records of every split, with their media root."""
    return Clips(root, {split: table.clips()[0] for split, table in records.items()}, {})


def by_relative_path(root: Path, files: Iterable[Path]) -> dict[str, Path]:
    """Return distinct clips by their path below the media root; by their absolute path if they are outside it."""
    roots = (root, root.resolve())  # the paths of records may have followed a link

    def name(file: Path) -> str:
        folder = next((folder for folder in roots if file.is_relative_to(folder)), None)
        return (file.absolute() if folder is None else file.relative_to(folder)).as_posix()

    return {name(file): file for file in files}
