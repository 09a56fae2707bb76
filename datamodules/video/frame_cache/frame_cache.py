"""The interface of a cache of fitted frames, a cache that keeps nothing, and one in memory."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from datamodules.video.frame_cache.recipe import Recipe
from datamodules.video.geometry import FittedClip

Views = tuple[FittedClip, ...]  # one clip on one canvas or several


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
