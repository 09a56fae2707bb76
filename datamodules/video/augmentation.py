"""Random changes of the clips that are learnt from."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from dataclasses import replace

import torch

from datamodules.video.frame_cache import Views
from datamodules.video.geometry import FittedClip


class Augmentation(ABC):
    """The family `augmentation`.

    Attributes:
        at_evaluation: whether clips are changed in validation, test and prediction too.
    """

    at_evaluation: bool = False

    @abstractmethod
    def __call__(self, views: Views, key: str) -> Views:
        """Return the changed views of a clip: the model's, and the teacher's where there is one.

        Args:
            views: the same frames, fitted to one canvas each.
            key: names run, epoch and sample; what is random depends on nothing else.
        """


class NoAugmentation(Augmentation):
    """Clips as they are."""

    def __call__(self, views: Views, key: str) -> Views:
        """Return `views`."""
        return views


class HorizontalFlip(Augmentation):
    """Mirrors a whole clip, for model and teacher alike, in a share of the cases. Left and right change places."""

    def __init__(self, share: float = 0.5) -> None:
        """Keep the share.

        Args:
            share: of clips that are mirrored, 0 to 1.

        Raises:
            ValueError: the share is not in that range.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"data.init_args.augmentation.init_args.share is {share}; it must be in 0..1")
        self.share = share

    def __call__(self, views: Views, key: str) -> Views:
        """Mirror all views or none."""
        return tuple(mirrored(view) for view in views) if self._chosen(key) else views

    def _chosen(self, key: str) -> bool:
        generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
        return bool(torch.rand((), generator=generator) < self.share)


class OfficialFlip(HorizontalFlip):
    """The official way, to match earlier results: model and teacher see a clip mirrored independently of each other.

    Clips are mirrored at evaluation too (official: at random there, here the same in every run with a seed). The valid
    rectangle is not mirrored with the frames, so content that is not in the middle leaves it (official).
    """

    at_evaluation = True

    def __call__(self, views: Views, key: str) -> Views:
        """Mirror each view or not."""
        return tuple(
            replace(view, frames=view.frames.flip(-1)) if self._chosen(f"{key} {number}") else view
            for number, view in enumerate(views)
        )


def mirrored(view: FittedClip) -> FittedClip:
    """Return a view with left and right exchanged, and its rectangle."""
    top, left, height, width = view.rectangle.tolist()
    rectangle = torch.tensor([top, view.canvas[1] - left - width, height, width])
    return replace(view, frames=view.frames.flip(-1), rectangle=rectangle)
