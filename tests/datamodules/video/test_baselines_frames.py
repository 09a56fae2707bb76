"""Which frames the baselines' official code takes, and what it makes of their pictures."""

import json
import re

import pytest
import torch

from components.encoders.video_encoder import VideoEncoder
from datamodules.video.geometry import CanvasGeometry, CentreCrop, Stretch
from datamodules.video.resizing import Nearest, TorchBilinear
from datamodules.video.sampling import VideoChatGPTSampler, VideoLLaVASampler
from tests.baselines_formula import FACTS, FOLDER, FORMULA, arrays
from tests.datamodules.video.test_geometry import FILL, MEAN, STD, source_frames

FRAMES = json.loads((FOLDER / "frames.json").read_text())
PICTURES = arrays("preprocess")
VIDEO_LLAVA = CanvasGeometry(224, 14, 1, FILL, TorchBilinear(), CentreCrop())
VIDEO_CHATGPT = CanvasGeometry(224, 14, 1, FILL, Nearest(), Stretch())
EVE = CanvasGeometry(FORMULA["eve_canvas"], 14, 2, FILL)
HALF_A_LEVEL = 0.501 / 255 / min(VideoEncoder.pixel_std)  # what rounding to grey levels costs


@pytest.mark.parametrize(
    ("code", "sampler"), [("video_llava", VideoLLaVASampler()), ("video_chatgpt", VideoChatGPTSampler())]
)
def test_frames(code, sampler):
    assert FRAMES[code]
    for row in FRAMES[code]:
        for rate in (1, 29.97):
            assert sampler.indices(row["n"], rate) == row["indices"]


def cases(code):
    names = {name.split("/")[0] for name in PICTURES if name.startswith(f"{code}_") and "flipped" not in name}
    return sorted((name, *map(int, re.findall(r"\d+", name))) for name in names)


def normalised(geometry, frames):
    return (geometry(frames).frames.float() / 255 - MEAN) / STD


@pytest.mark.parametrize(("name", "height", "width", "count"), cases("video_llava"))
def test_video_llava_s_pictures(name, height, width, count):
    indices = VideoLLaVASampler().indices(count, 30)
    frames = source_frames(count, height, width)[indices]
    view = normalised(VIDEO_LLAVA, frames)
    sub = view[[0, len(indices) - 1], :, 8::16, 8::16]
    torch.testing.assert_close(sub, PICTURES[f"{name}/sub"], atol=HALF_A_LEVEL, rtol=0)
    torch.testing.assert_close(view.mean((2, 3)), PICTURES[f"{name}/mean"], atol=1e-3, rtol=0)
    torch.testing.assert_close(view.std((2, 3), correction=0), PICTURES[f"{name}/std"], atol=1e-3, rtol=0)


@pytest.mark.parametrize(("name", "height", "width", "count"), cases("video_chatgpt"))
def test_video_chatgpt_s_pictures(name, height, width, count):
    indices = VideoChatGPTSampler().indices(count, 30)
    view = normalised(VIDEO_CHATGPT, source_frames(count, height, width)[indices])
    torch.testing.assert_close(view[[0, -1], :, 8::16, 8::16], PICTURES[f"{name}/sub"], atol=1e-5, rtol=0)
    torch.testing.assert_close(view.mean((2, 3)), PICTURES[f"{name}/mean"], atol=1e-5, rtol=0)
    torch.testing.assert_close(view.std((2, 3), correction=0), PICTURES[f"{name}/std"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", FACTS["eve_preprocess"])
def test_eve_s_pictures(name):
    height, width = map(int, re.findall(r"\d+", name))
    frames = source_frames(1, height, width)
    view, fitted = normalised(EVE, frames)[0], EVE(frames)
    top, left, rows, columns = (fitted.rectangle * 14).tolist()
    assert [top, top + rows, left, left + columns] == FACTS["eve_preprocess"][name]["box"]
    torch.testing.assert_close(view[:, 3::7, 3::7], PICTURES[f"{name}/sub"], atol=1e-5, rtol=0)
    torch.testing.assert_close(view.mean((1, 2)), PICTURES[f"{name}/mean"][:3], atol=1e-5, rtol=0)


@pytest.mark.parametrize("geometry", [VIDEO_LLAVA, VIDEO_CHATGPT], ids=["crop", "stretch"])
@pytest.mark.parametrize(("height", "width"), [(240, 320), (320, 240), (7, 900), (224, 224), (1, 1)])
def test_the_canvas_is_full(geometry, height, width):
    fitted = geometry(source_frames(1, height, width))
    assert fitted.frames.shape == (1, 3, 224, 224) and fitted.rectangle.tolist() == [0, 0, 16, 16]
    assert geometry.valid_patches(height, width) == (16, 16)
