"""Where the fitted frames of a clip come from, apart from its content."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cached_property

import av
import decord
import PIL
import torch

from datamodules.video.damage import DamagedVideo
from datamodules.video.fit import Fit
from datamodules.video.geometry import CanvasGeometry
from datamodules.video.resizing import Resizing
from datamodules.video.sampling import FrameSampler

# Raised whenever a reader, a sampler or a geometry gives other frames than before under the same settings.
FRAMES_VERSION = 2


@dataclass(frozen=True)
class Recipe:
    """What decides the frames of one view of a clip.

    Attributes:
        sampler: which frames of the clip.
        damaged: what was done with a clip of which only a part can be decoded.
        geometry: how they are fitted to the canvas.
    """

    sampler: FrameSampler
    damaged: DamagedVideo
    geometry: CanvasGeometry

    @cached_property
    def text(self) -> str:
        """All of it in words, the same in every process: names of classes, settings, and who decodes and resizes.

        Raises:
            ValueError: a setting that has no such words.
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
