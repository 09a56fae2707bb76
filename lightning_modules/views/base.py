"""The contract of a view: it watches a part of the model while a clip goes through it, and draws what it saw."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch.utils.hooks import RemovableHandle

from lightning_modules.video_language import VideoLanguageModel
from lightning_modules.views.shown_clip import ShownClip

Array = np.ndarray[Any, np.dtype[Any]]

# Viridis: as bright as the value is high, also for eyes that tell few colours apart.
RISING = ((68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129), (92, 200, 99),
          (170, 220, 50), (253, 231, 37))  # fmt: skip
DIVERGING = ((33, 102, 172), (103, 169, 207), (209, 229, 240), (247, 247, 247), (253, 219, 199), (239, 138, 98),
             (178, 24, 43))  # fmt: skip
Colours = tuple[tuple[int, int, int], ...]


class ClipView(ABC):
    """A view over a clip. It sees the model through forward hooks alone, which are there only while a clip is shown.

    Attributes:
        name: of its pictures in TensorBoard and of its files.
    """

    name: str

    @classmethod
    @abstractmethod
    def of(cls, model: VideoLanguageModel) -> Self | None:
        """Return the view of a model; None if the model has not what it shows."""

    @abstractmethod
    def watch(self) -> list[RemovableHandle]:
        """Begin to watch, until the hooks are removed."""

    @abstractmethod
    def draw(self, clip: ShownClip) -> Image.Image | None:
        """Draw what was seen of the clip that went through the model last; None if the clip does not show it."""


def colour(values: Float[Array, "*shape"], low: float, high: float, scale: Colours) -> UInt8[Array, "*shape 3"]:
    """Return the colours of values on a scale from `low` to `high`; those outside have that of the nearest end."""
    place = np.clip((np.nan_to_num(values) - low) / max(high - low, 1e-12), 0, 1) * (len(scale) - 1)
    channels = [np.interp(place, np.arange(len(scale)), ends) for ends in zip(*scale, strict=True)]
    mixed: Array = np.stack(channels, -1).round()
    return mixed.astype(np.uint8)


def apart(count: int) -> UInt8[Array, "count 3"]:
    """Return so many colours that are told apart, around the circle of hues."""
    hues = np.arange(count)[:, None] / count * 6 + np.array([0, 4, 2])
    channels: Array = np.clip(np.abs(hues % 6 - 3) - 1, 0, 1) * 215 + 40
    return channels.astype(np.uint8)
