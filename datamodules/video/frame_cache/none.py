"""Nothing is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from datamodules.video.frame_cache.base import FrameCache, Views
from datamodules.video.frame_cache.recipe import Recipe


class NoCache(FrameCache):
    """Read every time."""

    def get(
        self, clip: Path, recipes: Sequence[Recipe], content: Callable[[Path], str], read: Callable[[], Views]
    ) -> Views:
        """Return `read()`."""
        return read()
