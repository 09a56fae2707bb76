"""Caches of fitted frames, for the next epoch or for other runs: the family `frame_cache`."""

from __future__ import annotations

import enum
import hashlib
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import av
import decord
import PIL
import torch
from safetensors import SafetensorError

from components.files import write_whole
from datamodules.records.media_root import located
from datamodules.video.damage import DamagedVideo
from datamodules.video.frame_file import from_file, to_file
from datamodules.video.geometry import CanvasGeometry, Fit, FittedClip
from datamodules.video.resizing import Resizing
from datamodules.video.sampling import FrameSampler

log = logging.getLogger(__name__)

UNIT = 2**16  # bytes that a byte of the file `size` stands for
Views = tuple[FittedClip, ...]  # one clip on one canvas or several
# Increased whenever a reader, a sampler or a geometry gives different frames than before under the same settings.
FRAMES_VERSION = 2


@dataclass(frozen=True)
class Recipe:
    """All settings that decide the frames of one view of a clip.

    Attributes:
        sampler: choice of the frames.
        damaged: treatment of clips that can be decoded only in part.
        geometry: how frames are fitted to the canvas.
    """

    sampler: FrameSampler
    damaged: DamagedVideo
    geometry: CanvasGeometry

    @cached_property
    def text(self) -> str:
        """Text of all settings, equal in every process: class names, their settings, and versions of the libraries.

        Raises:
            ValueError: a setting cannot be written as text.
        """
        versions = {"av": av, "decord": decord, "Pillow": PIL, "torch": torch}
        programs = ", ".join(f"{name} {program.__version__}" for name, program in versions.items())
        parts = (_words(part) for part in (self.sampler, self.damaged, self.geometry))
        return f"frames {FRAMES_VERSION}; {programs}; {'; '.join(parts)}"


def _words(value: object) -> str:
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_words, value))}]"
    if isinstance(value, (FrameSampler, CanvasGeometry, Resizing, Fit)):
        settings = ", ".join(f"{name}={_words(setting)}" for name, setting in sorted(vars(value).items()))
        return f"{type(value).__module__}.{type(value).__qualname__}({settings})"
    raise ValueError(
        f"data.init_args.frame_cache is DiskFrameCache, which keeps frames under the settings that they come from, and"
        f" a {type(value).__name__} cannot be written down as one; it can be a number, a text, or a list of these."
        " MemoryCache and NoCache take any"
    )


class FrameCache(ABC):
    """The family `frame_cache`: whether fitted frames are kept.

    Augmentations and controls, which differ between epochs or runs, are applied to the cached frames afterwards.
    """

    @abstractmethod
    def get(
        self, clip: Path, recipes: Sequence[Recipe], content: Callable[[Path], str], read: Callable[[], Views]
    ) -> Views:
        """Return the views of a clip from the cache, or read them.

        Args:
            clip: video file.
            recipes: settings that decide the frames of each view.
            content: function that returns the SHA-256 of a file, or raises OSError if it cannot be read.
            read: function that reads all views from the clip.
        """


class NoCache(FrameCache):
    """Keeps nothing: every clip is read every time."""

    def get(
        self, clip: Path, recipes: Sequence[Recipe], content: Callable[[Path], str], read: Callable[[], Views]
    ) -> Views:
        """Return `read()`."""
        return read()


class MemoryCache(FrameCache):
    """Keeps fitted frames in memory up to a limit; clips beyond it are read every time.

    Each loader process has its own cache, so this suits `workers: 0`.
    """

    def __init__(self, max_gib: float = 1.0) -> None:
        """Create an empty cache.

        Args:
            max_gib: limit on the memory of the kept frames, in GiB.
        """
        if not 0 < max_gib < math.inf:
            raise ValueError(f"frame_cache.init_args.max_gib is {max_gib}; it must be above 0, not inf, or use NoCache")
        self.left = int(max_gib * 2**30)
        self.kept: dict[tuple[str, tuple[Recipe, ...]], Views] = {}

    def get(
        self, clip: Path, recipes: Sequence[Recipe], content: Callable[[Path], str], read: Callable[[], Views]
    ) -> Views:
        """Return the views of the file at this path, read only once if there is room for them."""
        key = (str(clip), tuple(recipes))
        if key in self.kept:
            return self.kept[key]
        views = read()
        size = sum(view.frames.nbytes for view in views)
        if size <= self.left:
            self.left -= size
            self.kept[key] = views
        return views


class DiskFrameCache(FrameCache):
    """Keeps fitted frames, without loss, as safetensors files up to a limit on their total size.

    The name of a file is a hash of the clip's content and of all settings that decide the frames. So a clip that was
    moved is found again, one that was overwritten is not, and runs with different settings can share a folder. Model
    and teacher have a file each, so that a run without a teacher can use the model's. Padding is not stored: 8 frames
    of 448 pixels take 4.6 MiB if square and 2.6 MiB at 16:9, and a quarter more with a teacher of 224 pixels.

    Several loader processes and runs may share a folder, because files appear completely or not at all. Damaged files
    are replaced. When nothing more can be kept (limit reached, full disk, folder not writable), one warning is logged
    and clips are read as without a cache.

    Attributes:
        not_kept: number of views that this process has read but could not keep.
        damaged: files that this process has found damaged.
    """

    # Not `max_gib`, as in memory: a class that replaces another in YAML keeps its arguments of the same name.
    def __init__(self, folder: str = "data/kept_frames", disk_gib: float = 32.0) -> None:
        """Set the folder, which is created when the first file is written.

        Args:
            folder: folder of the files, which are in subfolders by the first two letters of their names.
            disk_gib: limit on the size of the folder, in GiB, for all runs together; each process may exceed it by one
                clip.

        Raises:
            ValueError: the limit is not a positive number.
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
        """Return the views in the folder; if one is missing, read them all and keep the missing ones."""
        try:
            clip_hash = content(clip)
        except OSError:  # the reader reports what is wrong with the clip
            return read()
        paths = [self.path(clip_hash, recipe) for recipe in recipes]
        kept = [self._read(path) for path in paths]
        views = tuple(view for view in kept if view is not None)
        if len(views) < len(paths):
            views = read()
            if content(clip) == clip_hash:  # not overwritten meanwhile
                for path, view, kept_view in zip(paths, views, kept, strict=True):
                    if kept_view is None:
                        self._keep(path, view)
        return views

    def path(self, content: str, recipe: Recipe) -> Path:
        """Return the path of the file of a view.

        Args:
            content: SHA-256 of the clip.
            recipe: settings that decide the view's frames.
        """
        name = hashlib.sha256(f"{content}; {recipe.text}".encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.safetensors"

    def _read(self, path: Path) -> FittedClip | None:
        try:
            # Not memory-mapped, so that a damaged disk is an error here and not a crash later.
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
        """Write a file; return the reason why no more can be kept, empty if it was written."""
        try:
            if path in self.damaged:  # its size is already counted
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
    """The total size of a folder, kept in a file `size` with one byte for every 64 KiB written to the folder.

    Reading the length of one file takes one call, while adding up 700,000 files takes minutes on a network drive.
    Processes only append to it, so they need no lock. It is an upper bound: a file that two processes write at the same
    moment counts twice.
    """

    def __init__(self, folder: Path) -> None:
        """Set the folder, which need not exist yet."""
        self.file = folder / "size"

    def bytes(self) -> int:
        """Return the size so far in bytes; 0 if nothing was written or the file cannot be accessed."""
        try:
            return self.file.stat().st_size * UNIT
        except OSError:
            return 0

    def add(self, size: int) -> None:
        """Count another file of `size` bytes.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("ab") as file:
            file.write(b"\0" * -(-size // UNIT))
