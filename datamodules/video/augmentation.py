"""Random changes of training clips."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from dataclasses import replace

import torch

from datamodules.video.frame_cache import Views
from datamodules.video.geometry import FittedClip


class Augmentation(ABC):
    """The family `augmentation`: random changes of a clip.

    Attributes:
        at_evaluation: whether clips are changed in validation, test and prediction too.
    """

    at_evaluation: bool = False

    @abstractmethod
    def __call__(self, views: Views, key: str) -> Views:
        """Return the changed views of a clip: the model's, and the teacher's if there is a teacher.

        Args:
            views: the same frames, each view fitted to its own canvas.
            key: name of run, epoch and sample; the random choice depends on nothing else.
        """


class NoAugmentation(Augmentation):
    """Leaves clips unchanged."""

    def __call__(self, views: Views, key: str) -> Views:
        """Return `views`."""
        return views


class HorizontalFlip(Augmentation):
    """Mirrors a random share of the clips left to right, always for model and teacher alike."""

    def __init__(self, share: float = 0.5) -> None:
        """Check the share.

        Args:
            share: share of clips that are mirrored, 0 to 1.

        Raises:
            ValueError: the share is outside that range.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"data.init_args.augmentation.init_args.share is {share}; it must be in 0..1")
        self.share = share

    def __call__(self, views: Views, key: str) -> Views:
        """Mirror either all views or none."""
        return tuple(mirrored(view) for view in views) if self._chosen(key) else views

    def _chosen(self, key: str) -> bool:
        generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
        return bool(torch.rand((), generator=generator) < self.share)


class OfficialFlip(HorizontalFlip):
    """Mirrors the model's and the teacher's view independently of each other, as the official code does.

    Clips are mirrored at evaluation too; the official code chooses them at random, here the choice depends on the seed
    only. As in the official code, the valid rectangle is not mirrored, so off-centre content leaves it.
    """

    at_evaluation = True

    def __call__(self, views: Views, key: str) -> Views:
        """Decide for each view by itself whether to mirror it."""
        return tuple(
            replace(view, frames=view.frames.flip(-1)) if self._chosen(f"{key} {number}") else view
            for number, view in enumerate(views)
        )


def mirrored(view: FittedClip) -> FittedClip:
    """Return a view with its frames and its rectangle mirrored left to right."""
    top, left, height, width = view.rectangle.tolist()
    rectangle = torch.tensor([top, view.canvas[1] - left - width, height, width])
    return replace(view, frames=view.frames.flip(-1), rectangle=rectangle)
