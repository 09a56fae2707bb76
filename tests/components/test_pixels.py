"""The scale of pixels: exact in float32 for any dtype, without a copy from the host."""

import pytest
import torch

from components.encoders import VideoEncoder
from components.pixels import standardise
from tests.cuda.watcher import Watcher

MEAN, STD = VideoEncoder.pixel_mean, VideoEncoder.pixel_std


@pytest.mark.parametrize("default", [torch.float32, torch.bfloat16])
def test_computed_in_float32(default):
    frames = torch.randint(0, 256, (2, 3, 4, 6), dtype=torch.uint8)
    mean, std = (torch.tensor(values, dtype=torch.float32).view(3, 1, 1) for values in (MEAN, STD))
    torch.set_default_dtype(default)
    try:
        computed = standardise(frames, MEAN, STD, torch.float32)
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(computed, (frames.float() / 255 - mean) / std)
    assert standardise(frames, MEAN, STD, torch.bfloat16).dtype == torch.bfloat16


def test_no_tensor_is_made_on_the_host():
    with Watcher() as watcher:
        standardise(torch.empty(2, 3, 4, 6, dtype=torch.uint8, device="meta"), MEAN, STD, torch.float32)
    # With a tensor of constants there would be another copy, from the host to the device.
    assert watcher.operations == {"aten._to_copy": 1, "aten.div": 1, "aten.sub_": 3, "aten.div_": 3}
