"""What STAB refuses: shapes that cannot be, parts and sizes that do not go together."""

import pytest
import torch

from components.encoders import STAB, VideoShapes
from components.stab import FrameOnly, NoContext, NoFrameAggregator, NoVideoAggregator, VideoOnly
from tests.components.small_stab import CANVAS, PATCH, build, clips


@pytest.mark.parametrize(
    ("counts", "rectangle", "message"),
    [
        ([2], [0, 0, 4, 4], "add up to 2 frames, but there are 1"),
        ([0, 1], [0, 0, 4, 4], "at least one"),
        ([1], [3, 0, 4, 4], "leaves the canvas"),
        ([1], [-1, 0, 4, 4], "leaves the canvas"),
        ([1], [0, 0, 1, 4], "holds no 2 x 2"),
    ],
)
def test_impossible_shapes_are_refused(counts, rectangle, message):
    with pytest.raises(ValueError, match=message):
        build().layout(VideoShapes(torch.tensor(counts), torch.tensor([rectangle]), CANVAS))


def test_frames_that_do_not_fit_the_layout_are_refused():
    stab = build()
    frames, shapes = clips(2)
    layout = stab.layout(shapes)
    with pytest.raises(ValueError, match="do not fit a layout"):
        stab(frames[..., :-PATCH], layout)
    with pytest.raises(ValueError, match="not whole patches"):
        stab(frames[..., 1:], layout)


@pytest.mark.parametrize(
    ("slots", "fitting"),
    [
        ({"video_aggregator": NoVideoAggregator}, "FrameOnly"),
        ({"frame_aggregator": NoFrameAggregator}, "VideoOnly"),
        ({"frame_aggregator": NoFrameAggregator, "video_aggregator": NoVideoAggregator}, "NoContext"),
        ({"fusion": FrameOnly}, "LearnedFusion"),
        ({"fusion": NoContext}, "LearnedFusion"),
        ({"fusion": VideoOnly, "video_aggregator": NoVideoAggregator}, "FrameOnly"),
    ],
)
def test_a_fusion_that_does_not_fit_is_refused(slots, fitting):
    with pytest.raises(ValueError, match=rf"set model\.encoder\.init_args\.fusion to {fitting}"):
        build(**slots)


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"init_args\.chunk_frames: 0"):
        STAB(width=16, chunk_frames=0)
    with pytest.raises(ValueError, match="heads: 8 does not divide the width 20"):
        STAB(width=20)
