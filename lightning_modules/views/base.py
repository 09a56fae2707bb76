"""The contract of a view: it watches a part of the model while a clip goes through it, and draws what it saw."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

from PIL import Image
from torch.utils.hooks import RemovableHandle

from lightning_modules.video_language import VideoLanguageModel
from lightning_modules.views.shown_clip import ShownClip


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
