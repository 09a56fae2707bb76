"""Frames are kept on disk: for the next epoch, and for every other run over the same clips."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors import SafetensorError

from components.files import write_whole
from datamodules.records.media_root import located
from datamodules.video.frame_cache.frame_cache import FrameCache, Views
from datamodules.video.frame_cache.recipe import Recipe, from_file, to_file
from datamodules.video.geometry import FittedClip

log = logging.getLogger(__name__)
UNIT = 2**16


class DiskFrameCache(FrameCache):
    """Keep fitted frames as safetensors files, bit by bit as read, up to a bound on their size.

    A file is named after the content of the clip and after all that decides its frames, so a clip that was moved is
    found, and one that was overwritten is not; runs with other frames or another canvas share the folder. Model and
    teacher have a file each: a run without a teacher takes the model's. Without the padding, 8 frames of 448 pixels
    take 4.6 MiB if they are square and 2.6 MiB at 16:9; for a teacher of 224 pixels it is a quarter of that more.

    Loader processes and runs may share a folder: files appear whole or not at all. A damaged file is replaced. Where
    nothing more can be kept (the bound, a full disk, a folder that cannot be written), there is one warning and clips
    are read as without a cache.

    Attributes:
        not_kept: views that this process has read and not kept.
        damaged: files that this process found damaged.
    """

    # Not `max_gib`, as in memory: a class that replaces another in YAML keeps its arguments of the same name.
    def __init__(self, folder: str = "data/kept_frames", disk_gib: float = 32.0) -> None:
        """Name the folder, which is made when there is something to keep.

        Args:
            folder: where the files are, in subfolders by the first two letters of their names.
            disk_gib: bound on what it holds, in GiB, by whichever run; every process may exceed it by one clip.

        Raises:
            ValueError: there is no room.
        """
        if not 0 < disk_gib < math.inf:
            raise ValueError(
                f"data.init_args.frame_cache.init_args.disk_gib is {disk_gib}; it must be positive, or use NoCache"
            )
        self.folder = located(folder, "data.init_args.frame_cache.init_args.folder")
        self.disk_gib = disk_gib
        self.not_kept = 0
        self.damaged: set[Path] = set()
        self._size = FolderSize(self.folder)
        self._obstacle = ""

    def get(
        self, clip: Path, recipes: Sequence[Recipe], content: Callable[[Path], str], read: Callable[[], Views]
    ) -> Views:
        """Return the views in the folder; if one is missing, read them and keep what is missing."""
        try:
            known = content(clip)
        except OSError:  # the reader says what is wrong with the clip
            return read()
        paths = [self.path(known, recipe) for recipe in recipes]
        found = [self._read(path) for path in paths]
        views = tuple(view for view in found if view is not None)
        if len(views) < len(paths):
            views = read()
            if content(clip) == known:  # not overwritten meanwhile
                for path, view, before in zip(paths, views, found, strict=True):
                    if before is None:
                        self._keep(path, view)
        return views

    def path(self, content: str, recipe: Recipe) -> Path:
        """Return where a view is kept.

        Args:
            content: sha256 of the clip.
            recipe: of the view.
        """
        name = hashlib.sha256(f"{content}; {recipe.text}".encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.safetensors"

    def _read(self, path: Path) -> FittedClip | None:
        try:
            # Not mapped into memory: a damaged disk then is an error here and not a crash later.
            return from_file(path.read_bytes(), path.stem)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            if path not in self.damaged:
                log.warning("kept frames %s are damaged, the clip is read again: %s", path, error)
            self.damaged.add(path)
            return None

    def _keep(self, path: Path, view: FittedClip) -> None:
        if not self._obstacle:
            self._obstacle = self._write(path, to_file(view, path.stem))
            if self._obstacle:
                log.warning("no more frames are kept in %s, the run goes on without: %s", self.folder, self._obstacle)
        self.not_kept += bool(self._obstacle)

    def _write(self, path: Path, content: bytes) -> str:
        """Write a file; return why no more can be kept, empty if it can."""
        try:
            if path in self.damaged:  # its size was counted before
                write_whole(path, content, flush=False)
            elif not path.exists():  # another process may have been faster
                if self._size.bytes() + len(content) > self.disk_gib * 2**30:
                    return f"data.init_args.frame_cache.init_args.disk_gib = {self.disk_gib} is reached"
                self._size.add(len(content))
                write_whole(path, content, flush=False)
        except OSError as error:
            return str(error)
        return ""


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
