"""Controls change what is shown and nothing else: not the number of frames, not their size."""

import pytest
import torch

from components.registry import members
from datamodules.video.shown_frames import ShownFrames

FRAMES = torch.arange(5 * 3 * 4 * 6).reshape(5, 3, 4, 6).to(torch.uint8)


@pytest.mark.parametrize("name", members(ShownFrames))
@pytest.mark.parametrize("count", [1, 5])
def test_a_control_keeps_the_shape_and_depends_on_the_sample_alone(name, count):
    before = FRAMES.clone()
    control, again = members(ShownFrames)[name](), members(ShownFrames)[name]()
    shown = control(FRAMES[:count], "a")
    assert shown.shape == FRAMES[:count].shape and shown.dtype == torch.uint8
    assert torch.equal(shown, again(FRAMES[:count], "a"))
    assert torch.equal(FRAMES, before)


def shown(name):
    return members(ShownFrames)[name]()(FRAMES, "a")


def test_what_the_controls_show():
    assert torch.equal(shown("TrueFrames"), FRAMES)
    assert not shown("BlackFrames").any()
    assert all(torch.equal(frame, FRAMES[2]) for frame in shown("OneFrame"))
    shuffled = shown("ShuffledFrames")
    assert not torch.equal(shuffled, FRAMES)
    assert torch.equal(shuffled[shuffled[:, 0, 0, 0].argsort()], FRAMES[FRAMES[:, 0, 0, 0].argsort()])
    assert (shown("NoiseFrames") != FRAMES).float().mean() > 0.9
