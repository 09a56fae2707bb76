"""The sizes of samples, as far as they are known before any of them is loaded."""

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

Shape = tuple[int, int, int]  # number of frames, and rows and columns of patches that the picture fills
_LONG = 10**6, 25.0  # frames and rate of a clip that gives the largest number of frames


@dataclass(frozen=True)
class SampleSizes:
    """The sizes of the samples of a split.

    Attributes:
        shapes: number of frames, and rows and columns of patches, of each sample; 0 without a clip.
        text: size of each sample's texts in bytes.
    """

    shapes: Int64[np.ndarray, "samples 3"]
    text: Int64[np.ndarray, "samples"]


def sample_sizes(records: RecordTable, shape: Callable[[Path], Shape]) -> SampleSizes:
    """Return the sizes of records.

    Args:
        records: records of a split.
        shape: function that returns the shape of a clip; called once per clip.
    """
    clips, clip_of = records.clips()
    shapes = np.zeros((len(clips) + 1, 3), dtype=np.int64)  # the last row is for records without a clip, at position -1
    for number, clip in enumerate(clips):
        shapes[number] = shape(clip)
    return SampleSizes(shapes[clip_of], records.text_bytes())


class ClipShapes:
    """The shapes of clips.

    The shape of a clip in a manifest is exact. Any other clip is assumed to fill the canvas, with one frame if its name
    is that of a picture, and else with the largest number of frames.

    Attributes:
        canvas: (rows, columns) of patches in a whole frame.
        largest: largest possible shape.
    """

    def __init__(self, facts: MediaFacts, sampler: FrameSampler, geometry: CanvasGeometry) -> None:
        """Set everything that decides the shapes.

        Args:
            facts: known facts about the clips.
            sampler: sampler, which decides the number of frames.
            geometry: geometry, which decides the part of the canvas that a picture fills.
        """
        self.canvas = geometry.patches
        self.largest: Shape = len(sampler.indices(*_LONG)), *geometry.patches
        self._facts = facts

        @lru_cache(maxsize=4096)
        def shape(frames: int, fps: float, height: int, width: int) -> Shape:
            return len(sampler.indices(frames, fps)), *geometry.valid_patches(height, width)

        self._shape = shape

    def in_manifest(self, clip: Path) -> Shape | None:
        """Return the exact shape of a clip; None if the clip is not in a manifest."""
        facts = self._facts.of(clip)
        if facts is None or facts.error:
            return None
        return self._shape(facts.frames, facts.fps, facts.height, facts.width)

    def __call__(self, clip: Path) -> Shape:
        """Return the exact or assumed shape of a clip."""
        picture = clip.suffix.lower() in SUFFIXES
        return self.in_manifest(clip) or ((1, *self.canvas) if picture else self.largest)
