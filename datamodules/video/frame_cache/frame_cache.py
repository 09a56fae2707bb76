"""What every cache of fitted frames does; none at all, and one in memory."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from datamodules.video.frame_cache.recipe import Recipe
from datamodules.video.geometry import FittedClip

Views = tuple[FittedClip, ...]  # one clip on one canvas or several


class FrameCache(ABC):
    """The family `frame_cache`.

    What changes from epoch to epoch, or hides a part of the clip, is done to the frames afterwards.
    """

    @abstractmethod
    def get(
        self, clip: Path, recipes: Sequence[Recipe], content: Callable[[Path], str], read: Callable[[], Views]
    ) -> Views:
        """Return the views of a clip that are kept, or read them.

        Args:
            clip: its file.
            recipes: where each of the views comes from.
            content: gives the sha256 of a file; OSError if it cannot be read.
            read: gives all the views, from the clip.
        """


class NoCache(FrameCache):
    """Read every time."""

    def get(
        self, clip: Path, recipes: Sequence[Recipe], content: Callable[[Path], str], read: Callable[[], Views]
    ) -> Views:
        """Return `read()`."""
        return read()


class MemoryCache(FrameCache):
    """Keep frames in memory up to a bound; what does not fit is read every time.

    Each loader process has a cache of its own, so this suits `workers: 0`.
    """

    def __init__(self, max_gib: float = 1.0) -> None:
        """Start empty.

        Args:
            max_gib: bound on the memory of the kept frames, in GiB.
        """
        if not 0 < max_gib < math.inf:
            raise ValueError(f"frame_cache.init_args.max_gib is {max_gib}; it must be above 0, not inf, or use NoCache")
        self.left = int(max_gib * 2**30)
        self.kept: dict[tuple[str, tuple[Recipe, ...]], Views] = {}

    def get(
        self, clip: Path, recipes: Sequence[Recipe], content: Callable[[Path], str], read: Callable[[], Views]
    ) -> Views:
        """Return the frames of a file of this name, reading them at most once while there is room."""
        key = (str(clip), tuple(recipes))
        if key in self.kept:
            return self.kept[key]
        views = read()
        size = sum(view.frames.nbytes for view in views)
        if size <= self.left:
            self.left -= size
            self.kept[key] = views
        return views
