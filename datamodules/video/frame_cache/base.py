"""What every cache of fitted frames does."""

from __future__ import annotations

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
