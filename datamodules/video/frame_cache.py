"""Whether fitted frames are kept between epochs: sensible where a whole data set fits into memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable

from datamodules.video.geometry import FittedClip

Views = tuple[FittedClip, ...]  # one clip on one canvas or several


class FrameCache(ABC):
    """The family `frame_cache`."""

    @abstractmethod
    def get(self, key: Hashable, read: Callable[[], Views]) -> Views:
        """Return the frames kept under `key`, or read them."""


class NoCache(FrameCache):
    """Read every time."""

    def get(self, key: Hashable, read: Callable[[], Views]) -> Views:
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
        if max_gib <= 0:
            raise ValueError(f"frame_cache.init_args.max_gib is {max_gib}; it must be above 0, or use NoCache")
        self.left = int(max_gib * 2**30)
        self.kept: dict[Hashable, Views] = {}

    def get(self, key: Hashable, read: Callable[[], Views]) -> Views:
        """Return the frames under `key`, reading them at most once while there is room."""
        if key in self.kept:
            return self.kept[key]
        views = read()
        size = sum(view.frames.nbytes for view in views)
        if size <= self.left:
            self.left -= size
            self.kept[key] = views
        return views
