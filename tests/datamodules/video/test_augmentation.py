"""Mirrored clips: whole clips, model and teacher alike, the same in every process; and the official way."""

import pytest
import torch

from datamodules.video.augmentation import HorizontalFlip, NoAugmentation, OfficialFlip
from datamodules.video.geometry import FittedClip

KEYS = [f"0 {epoch} clip" for epoch in range(400)]


def view(side, left=1, width=2):
    """Frames whose columns are numbered, with a picture that is not in the middle."""
    frames = torch.arange(side).expand(2, 3, side, side).to(torch.uint8)
    return FittedClip(frames, torch.tensor([0, left, 4, width]), (4, 4))


def flipped(given):
    return given.frames[0, 0, 0, 0] > 0


def test_nothing_changes_without():
    views = (view(8),)
    assert NoAugmentation()(views, "key") is views


def test_frames_and_rectangle_are_mirrored():
    (mirrored,) = HorizontalFlip(share=1)((view(8),), "key")
    assert mirrored.frames[1, 2, 3].tolist() == [7, 6, 5, 4, 3, 2, 1, 0]
    assert mirrored.rectangle.tolist() == [0, 1, 4, 2]  # of 4 columns, 1 left and 1 right
    (mirrored,) = HorizontalFlip(share=1)((view(8, left=0),), "key")
    assert mirrored.rectangle.tolist() == [0, 2, 4, 2]


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.25, 70, 130), (0.5, 160, 240), (1.0, 400, 400)])
def test_the_share_of_mirrored_clips(share, low, high):
    flip = HorizontalFlip(share)
    assert low <= sum(bool(flipped(flip((view(8),), key)[0])) for key in KEYS) <= high


def test_model_and_teacher_see_the_same_and_a_key_decides():
    flip = HorizontalFlip()
    for key in KEYS[:50]:
        model, teacher = flip((view(8), view(4)), key)
        assert flipped(model) == flipped(teacher) == flipped(HorizontalFlip()((view(8),), key)[0])


def test_the_official_way_mirrors_model_and_teacher_independently_and_frames_alone():
    flip = OfficialFlip()
    assert flip.at_evaluation and not HorizontalFlip().at_evaluation
    pairs = [tuple(bool(flipped(shown)) for shown in flip((view(8), view(4)), key)) for key in KEYS]
    assert all(60 < pairs.count((a, b)) < 140 for a in (True, False) for b in (True, False))
    assert all(shown.rectangle.tolist() == [0, 1, 4, 2] for shown in flip((view(8), view(4)), KEYS[0]))


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match=rf"augmentation.init_args.share is {share}"):
        HorizontalFlip(share)
