"""How large samples are, as far as it can be told before any of them is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from datamodules.checking.media_facts import MediaFacts
from datamodules.records import RecordTable
from datamodules.video.geometry import CanvasGeometry
from datamodules.video.image_reader import SUFFIXES
from datamodules.video.sampling import FrameSampler

Shape = tuple[int, int, int]  # frames, and rows and columns of patches that the picture fills
_LONG = 10**6, 25.0  # frames and rate of a clip that gives as many frames as are ever taken


@dataclass(frozen=True)
class SampleSizes:
    """The sizes of the samples of a split.

    Attributes:
        shapes: frames, and rows and columns of patches, of each; 0 where there is no clip.
        text: bytes of the texts of each.
    """

    shapes: Int64[np.ndarray, "samples 3"]
    text: Int64[np.ndarray, "samples"]


def sample_sizes(records: RecordTable, shape: Callable[[Path], Shape]) -> SampleSizes:
    """Return the sizes of records.

    Args:
        records: of a split.
        shape: returns that of a clip; asked once per clip.
    """
    clips, clip_of = records.clips()
    shapes = np.zeros((len(clips) + 1, 3), dtype=np.int64)  # the last one is for records without a clip: position -1
    for number, clip in enumerate(clips):
        shapes[number] = shape(clip)
    return SampleSizes(shapes[clip_of], records.text_bytes())


class ClipShapes:
    """Tells the shapes of clips.

    That of a clip which a manifest knows is the true one. Any other is taken for one that fills the canvas: a picture,
    as its name tells, with one frame, and a video with as many as are ever taken.

    Attributes:
        canvas: (rows, columns) of patches in a whole frame.
        largest: the largest shape that there is.
    """

    def __init__(self, facts: MediaFacts, sampler: FrameSampler, geometry: CanvasGeometry) -> None:
        """Name what decides.

        Args:
            facts: what is known of clips.
            sampler: decides how many frames are taken.
            geometry: decides how much of the canvas they fill.
        """
        self.canvas = geometry.patches
        self.largest: Shape = len(sampler.indices(*_LONG)), *geometry.patches
        self._facts = facts

        @lru_cache(maxsize=4096)
        def shape(frames: int, fps: float, height: int, width: int) -> Shape:
            return len(sampler.indices(frames, fps)), *geometry.valid_patches(height, width)

        self._shape = shape

    def known(self, clip: Path) -> Shape | None:
        """Return the shape of a clip that a manifest knows; None of any other."""
        found = self._facts.of(clip)
        if found is None or found.error:
            return None
        return self._shape(found.frames, found.fps, found.height, found.width)

    def __call__(self, clip: Path) -> Shape:
        """Return the shape of a clip, or what it is taken for."""
        picture = clip.suffix.lower() in SUFFIXES
        return self.known(clip) or ((1, *self.canvas) if picture else self.largest)
