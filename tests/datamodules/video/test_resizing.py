"""Two ways to one size: Pillow's, which is official, and torch's, which is almost the same and faster."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.video.geometry import CanvasGeometry
from datamodules.video.open import open_video
from datamodules.video.resizing import PillowBicubic, TorchBicubic

VIDEOS = Path(__file__).parents[2] / "data/videos"


@pytest.fixture(scope="module", params=["toy_rabbit320.mp4", "bottle_detection.mp4", "fire2_rot180_vfr.mp4"])
def frames(request):
    with open_video(VIDEOS / request.param) as reader:
        return reader.frames([0, len(reader) // 2])


def test_pillow_is_asked_frame_by_frame(frames):
    resized = PillowBicubic()(frames, 336, 448)
    for frame, done in zip(frames, resized, strict=True):
        assert np.array_equal(done, np.array(Image.fromarray(frame).resize((448, 336), Image.Resampling.BICUBIC)))


@pytest.mark.parametrize("size", [(336, 448), (56, 448), (28, 28)])
def test_torch_differs_in_a_few_pixels_by_a_few_grey_levels(frames, size):
    official, fast = (way(frames, *size).astype(int) for way in (PillowBicubic(), TorchBicubic()))
    assert official.shape == fast.shape == (2, *size, 3)
    difference = np.abs(official - fast)
    assert difference.max() <= 2 and difference.mean() < (0.01 if size == (336, 448) else 0.25)
    assert official.std() > 10


def test_frames_that_are_turned_in_memory_are_taken_too(frames):
    turned = np.rot90(frames, axes=(1, 2))
    assert np.abs(PillowBicubic()(turned, 60, 40).astype(int) - TorchBicubic()(turned, 60, 40)).max() <= 2


def test_a_geometry_uses_what_it_is_given(frames):
    fill = (1, 2, 3)
    official, fast = (CanvasGeometry(448, 14, 2, fill, way)(frames) for way in (PillowBicubic(), TorchBicubic()))
    assert (official.rectangle == fast.rectangle).all()
    different = (official.frames != fast.frames).float().mean()
    assert 0 < different < 0.02
