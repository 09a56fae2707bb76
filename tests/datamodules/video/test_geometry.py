"""Frames on the canvas: pixels and valid area of the official preprocessing."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from components.encoders.video_encoder import VideoEncoder
from datamodules.video.geometry import CanvasGeometry

GOLDEN_DIR = Path(os.environ.get("GOLDEN_DIR", Path(__file__).parents[2] / "golden"))
CASES = json.loads((GOLDEN_DIR / "preprocess.json").read_text())
MEAN, STD = (torch.tensor(value).view(1, 3, 1, 1) for value in (VideoEncoder.pixel_mean, VideoEncoder.pixel_std))
FILL = tuple(int(255 * value) for value in VideoEncoder.pixel_mean)


def source_frames(count, height, width):
    """The formula of tests/golden/README.md."""
    t, y, x, c = np.ogrid[:count, :height, :width, :3]
    value = 3 * x + 5 * y + 17 * t + 40 * c + (x * y) // 64 + 13 * ((x // 16 + y // 24) % 3)
    return (value % 256).astype(np.uint8)


def student_view():
    return CanvasGeometry(448, patch_size=14, stride=2, fill=FILL)


def teacher_view():
    return CanvasGeometry(224, patch_size=14, stride=1, fill=FILL)


def official_view(geometry, frames):
    """Canvases as the official code hands them on: normalised, with the mask as fourth channel."""
    fitted = geometry(frames)
    canvases, rectangle = fitted.frames, fitted.rectangle
    top, left, height, width = (rectangle * 14).tolist()
    mask = torch.zeros(len(frames), 1, geometry.canvas, geometry.canvas)
    mask[:, :, top : top + height, left : left + width] = 1
    return torch.cat([(canvases.float() / 255 - MEAN) / STD, mask], dim=1)


def cases():
    for name, facts in CASES.items():
        size = re.search(r"(\d+)x(\d+)", name)
        if size:
            yield name, int(size[1]), int(size[2]), facts


def assert_stored(view, golden, prefix, frames, step):
    """Compare with the stored means, deviations and every `step`-th pixel; black frames at the end are not ours."""
    count = len(view)
    close = {"atol": 2e-6, "rtol": 0}
    torch.testing.assert_close(view.double().mean((2, 3)), torch.tensor(golden[f"{prefix}mean"][:count]), **close)
    if f"{prefix}std" in golden:
        deviation = view.double().std((2, 3), correction=0)
        torch.testing.assert_close(deviation, torch.tensor(golden[f"{prefix}std"][:count]), **close)
    if f"{prefix}sub16" in golden:
        pixels = torch.tensor(golden[f"{prefix}sub16"])
        for row, frame in enumerate(frames):
            if frame < count:
                torch.testing.assert_close(view[frame, :, step // 2 :: step, step // 2 :: step], pixels[row], **close)


@pytest.mark.parametrize(("name", "height", "width", "facts"), list(cases()))
def test_official_pixels_and_mask(name, height, width, facts):
    golden = np.load(GOLDEN_DIR / "preprocess.npz")
    count = facts.get("frames_decoded", facts["shape"][0])
    view = official_view(student_view(), source_frames(count, height, width))
    if name.endswith("_flipped"):  # the official code mirrors the canvas, but not its mask
        view[:, :3] = view[:, :3].flip(-1)
    y0, y1, x0, x1 = facts["valid_box_y0y1x0x1"]
    area = view[:, 3].bool()
    assert area[:, y0:y1, x0:x1].all()
    assert area.sum() == count * (y1 - y0) * (x1 - x0)
    assert_stored(view, golden, f"{name}/", facts.get("sub16_frames", [0]), step=28)


def test_official_student_and_teacher_of_one_sample():
    golden = np.load(GOLDEN_DIR / "preprocess.npz")
    facts = CASES["train_sample"]
    frames = source_frames(facts["frames"], *facts["source_hw"])
    student, teacher = (official_view(geometry, frames) for geometry in (student_view(), teacher_view()))
    assert list(teacher.shape) == facts["teacher_shape"]
    y0, y1, x0, x1 = facts["teacher_valid_box"]
    assert teacher[:, 3, y0:y1, x0:x1].all()
    assert teacher[:, 3].sum() == len(frames) * (y1 - y0) * (x1 - x0)
    assert_stored(student, golden, "train_sample/student_", [0], step=28)
    assert_stored(teacher, golden, "train_sample/teacher_", [0, 1], step=14)


def test_padding_has_the_fill_colour_and_the_rest_the_picture():
    fitted = student_view()(np.full((3, 90, 160, 3), 200, np.uint8))
    canvases, rectangle = fitted.frames, fitted.rectangle
    assert rectangle.tolist() == [6, 0, 18, 32]
    outside = torch.ones(448, 448, dtype=torch.bool)
    outside[84:336] = False
    assert (canvases[:, :, outside] == torch.tensor(FILL).view(1, 3, 1)).all()
    assert (canvases[:, :, ~outside] == 200).all()


@pytest.mark.parametrize(("height", "width"), [(448, 448), (448, 252), (84, 448)])
def test_frames_of_the_right_size_are_not_touched(height, width):
    frames = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    fitted = student_view()(frames)
    canvases, rectangle = fitted.frames, fitted.rectangle
    top, left, rows, columns = (rectangle * 14).tolist()
    assert (rows, columns) == (height, width)
    inside = canvases[:, :, top : top + rows, left : left + columns]
    np.testing.assert_array_equal(inside.permute(0, 2, 3, 1).numpy(), frames)


@pytest.mark.parametrize("size", [(1, 1000), (1000, 1), (1, 1), (2, 100000)])
def test_extreme_shapes_keep_a_unit(size):
    geometry = student_view()
    fitted = geometry(np.zeros((1, *size, 3), np.uint8))
    canvases, rectangle = fitted.frames, fitted.rectangle
    top, left, height, width = rectangle.tolist()
    assert canvases.shape == (1, 3, 448, 448)
    assert min(height, width) >= 2 and max(height, width) == 32
    assert height % 2 == width % 2 == top % 2 == left % 2 == 0
    assert top + height <= 32 and left + width <= 32


@pytest.mark.parametrize("canvas", [450, 14, 0, -28])
def test_canvas_that_is_no_multiple_of_a_unit(canvas):
    with pytest.raises(ValueError, match=rf"data.init_args.canvas is {canvas}; .* multiple of 28"):
        CanvasGeometry(canvas, patch_size=14, stride=2, fill=FILL)


def test_canvas_in_patches():
    assert student_view().patches == (32, 32)
    assert teacher_view().patches == (16, 16)
