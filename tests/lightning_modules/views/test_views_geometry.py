"""A token that is made to win shows where it is on the frame."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from components.distillation import CosineDistillation
from components.encoders import TokenLayout, VideoShapes
from components.stab import (
    AfterLocalEncoding,
    AveragePool,
    BeforeLocalEncoding,
    LearnedQueryLSD,
    NoLocalEncoding,
)
from lightning_modules.views.attention import FrameAttention, VideoAttention, WindowAttention
from lightning_modules.views.clip_view import ShownClip
from lightning_modules.views.film import FRAME_SIDE, GAP, LINE, apart
from lightning_modules.views.teacher_similarity import TeacherSimilarity
from tests.components.small_stab import CANVAS, PATCH, WIDTH, build

PIXELS = FRAME_SIDE // CANVAS[1]  # of a patch, in the picture
HEIGHT = CANVAS[0] * PIXELS
FRAMES = 6
# Square to the canvas; narrow, in the middle; with an odd last row and column of patches that are in no window.
RECTANGLES = [(0, 0, 6, 8), (0, 2, 6, 4), (1, 3, 5, 5)]
PLACEMENTS = [AfterLocalEncoding, BeforeLocalEncoding]


def attend_to_brightness(attention):
    """Let every head look for tokens whose first channel stands out."""
    with torch.no_grad():
        attention.query_norm.weight.zero_()
        attention.query_norm.bias.fill_(300)
        attention.query.weight.copy_(torch.eye(WIDTH))
        attention.token_norm.weight.fill_(1)
        attention.token_norm.bias.zero_()
        keys = attention.key_value.weight.chunk(2)[0]
        keys.zero_()
        keys[:, 0] = 1 / WIDTH


def stab_that_sees_brightness(**slots):
    stab = build(local_encoding=NoLocalEncoding, **slots)
    with torch.no_grad():
        stab.patch_embedding.projection.weight[0] = 1
    for part in (stab.downsampling, stab.frame_aggregator, stab.video_aggregator):
        if hasattr(part, "attention"):
            attend_to_brightness(part.attention)
    return stab


def clip_with_a_bright_patch(stab, rectangle, frame, row, column):
    """A clip that is grey but for one patch of it; returns what is shown and what the model is given."""
    pixels = torch.zeros(FRAMES, 3, CANVAS[0] * PATCH, CANVAS[1] * PATCH, dtype=torch.float64)
    pixels[frame, :, row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH] = 5
    rectangles = torch.tensor(rectangle).expand(FRAMES, 4)
    layout = stab.layout(VideoShapes(torch.tensor([FRAMES]), rectangles, CANVAS))
    frames = torch.full(pixels.shape, 128, dtype=torch.uint8)
    return ShownClip("clip.mp4", "clips", frames, rectangles, CANVAS, stab.stride, layout), pixels


def watch(view, run):
    handles = view.watch()
    with torch.no_grad():
        run()
    for handle in handles:
        handle.remove()


def painted(image, frame):
    """Return what is painted over a frame, by patch: (rows, columns, 3), the mean colour of each."""
    left, top = GAP + frame % 4 * (FRAME_SIDE + GAP), GAP + (2 * (frame // 4) + 1) * (HEIGHT + LINE + GAP)
    part = np.asarray(image)[top : top + HEIGHT, left : left + FRAME_SIDE].astype(float)
    patches = part.reshape(CANVAS[0], PIXELS, CANVAS[1], PIXELS, 3)
    assert np.ptp(patches, axis=(1, 3)).max() <= 1, "the colours of patches end where patches do"
    return patches.mean((1, 3))


def hot(image, frame):
    """Return the patches of a frame that are yellow, the colour of the largest values."""
    colours = painted(image, frame)
    return (colours[..., 0] - colours[..., 2] > 80).nonzero()


def assert_hot(image, frame, rows, columns):
    for number in range(FRAMES):
        cells = set(zip(*(axis.tolist() for axis in hot(image, number)), strict=True))
        expected = {(row, column) for row in rows for column in columns} if number == frame else set()
        assert cells == expected, number


def corner_of_window(rectangle, row, column):
    """Return where the window begins that a patch is in."""
    return tuple(start + (at - start) // 2 * 2 for start, at in zip(rectangle[:2], (row, column), strict=True))


@pytest.mark.parametrize("rectangle", RECTANGLES)
@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("kind", [{}, {"downsampling": LearnedQueryLSD}], ids=["lsd", "learned"])
def test_the_patch_that_wins_its_window_has_the_colour_of_its_position(rectangle, placement, kind):
    stab = stab_that_sees_brightness(downsampling_placement=placement, **kind)
    frame, row, column = 5, rectangle[0] + 3, rectangle[1] + 2
    clip, pixels = clip_with_a_bright_patch(stab, rectangle, frame, row, column)
    view = WindowAttention(stab, stab.downsampling)
    watch(view, lambda: stab(pixels, clip.layout))
    weights = view.weights(clip)
    torch.testing.assert_close(weights.sum(1), torch.ones(len(clip.layout.windows)))
    colours = painted(view.draw(clip), frame)
    top, left = corner_of_window(rectangle, row, column)
    position = apart(4)[2 * (row - top) + column - left].astype(float)
    coloured = np.ptp(colours, axis=2) > 20
    assert list(zip(*coloured.nonzero(), strict=True)) == [(row, column)]
    assert np.abs(colours[row, column] - (0.85 * position + 0.15 * 128)).max() < 2


@pytest.mark.parametrize("rectangle", RECTANGLES)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_the_token_that_wins_its_frame_is_hot(rectangle, placement):
    stab = stab_that_sees_brightness(downsampling=AveragePool, downsampling_placement=placement)
    frame, row, column = 2, rectangle[0] + 3, rectangle[1] + 2
    clip, pixels = clip_with_a_bright_patch(stab, rectangle, frame, row, column)
    view = FrameAttention(stab.frame_aggregator)
    watch(view, lambda: stab(pixels, clip.layout))
    image, (top, left) = view.draw(clip), corner_of_window(rectangle, row, column)
    assert_hot(image, frame, range(top, top + 2), range(left, left + 2))
    colours = painted(image, frame)
    in_no_token = np.ones(CANVAS, dtype=bool)
    in_no_token[rectangle[0] :, rectangle[1] :][: rectangle[2] // 2 * 2, : rectangle[3] // 2 * 2] = False
    assert (np.ptp(colours, axis=2)[in_no_token] < 1).all(), "where there is no token, the frame is grey"
    assert (np.ptp(colours, axis=2)[~in_no_token] > 20).all()


@pytest.mark.parametrize("rectangle", RECTANGLES)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_the_cell_that_wins_its_chunk_is_hot(rectangle, placement):
    stab = stab_that_sees_brightness(downsampling=AveragePool, downsampling_placement=placement)
    frame, row, column = 4, rectangle[0] + 3, rectangle[1] + 2
    clip, pixels = clip_with_a_bright_patch(stab, rectangle, frame, row, column)
    view = VideoAttention(stab, stab.video_aggregator)
    watch(view, lambda: stab(pixels, clip.layout))
    if placement is AfterLocalEncoding:
        rows, columns = [row], [column]
    else:
        top, left = corner_of_window(rectangle, row, column)
        rows, columns = range(top, top + 2), range(left, left + 2)
    assert_hot(view.draw(clip), frame, rows, columns)


def test_an_image_has_no_video_context_to_show():
    stab = stab_that_sees_brightness()
    clip, pixels = clip_with_a_bright_patch(stab, RECTANGLES[0], 0, 0, 0)
    clip.layout = stab.layout(VideoShapes(torch.tensor([1]), clip.rectangles[:1], CANVAS))
    view = VideoAttention(stab, stab.video_aggregator)
    watch(view, lambda: stab(pixels[:1], clip.layout))
    assert view.draw(clip) is None


@pytest.mark.parametrize("rectangle", RECTANGLES)
def test_the_token_that_is_most_like_the_teachers_is_hot(rectangle):
    distillation = CosineDistillation(16, 2, 16, every=2)
    nn.init.zeros_(distillation.head.output.weight)
    nn.init.zeros_(distillation.head.output.bias)
    distillation.head.shortcut.load_state_dict({"weight": torch.eye(16), "bias": torch.zeros(16)})
    stab = build()
    frame, row, column = 3, rectangle[0] + 3, rectangle[1] + 2
    clip, _ = clip_with_a_bright_patch(stab, rectangle, frame, row, column)
    tokens, columns = clip.layout.grids[0].prod(), clip.layout.grids[0, 1]
    states, teacher = torch.ones(FRAMES * tokens, 16), -torch.ones(FRAMES * tokens, 16)
    top, left = corner_of_window(rectangle, row, column)
    teacher[frame * tokens + (top - rectangle[0]) // 2 * columns + (left - rectangle[1]) // 2] = 1
    view = TeacherSimilarity(distillation)
    watch(view, lambda: distillation([states, states], teacher, clip.grid_frames, FRAMES))
    assert view.seen.min() == -1 and view.seen.max() == 1
    values = clip.over_frames(view.seen[0])
    assert (values[frame] == 1).nonzero().tolist() == [[top + i, left + j] for i in range(2) for j in range(2)]
    view.draw(clip)


def test_of_several_hidden_states_that_answer_each_has_a_map():
    stab = build()
    clip, _ = clip_with_a_bright_patch(stab, RECTANGLES[0], 0, 0, 0)
    tokens = len(clip.grid_frames)
    heights = []
    for distillation in (CosineDistillation(16, 2, 16, every=2), CosineDistillation(16, 2, 16, every=1)):
        states = [torch.randn(tokens, 16) for _ in distillation.hidden_layers]
        view = TeacherSimilarity(distillation)
        watch(view, partial(distillation, states, torch.randn(tokens, 16), clip.grid_frames, FRAMES))
        assert len(view.seen) == (3 if len(states) == 3 else 1), "alone, the only one is the prediction"
        heights.append(view.draw(clip).height)
    assert heights[1] > heights[0] + 2 * HEIGHT


def test_tokens_of_an_encoder_without_windows_are_patches():
    grids = torch.tensor([[2, 3], [2, 3]])
    layout = TokenLayout((12,), torch.arange(12), torch.arange(12), grids)
    rectangles = torch.tensor([[1, 2, 2, 3]]).expand(2, 4)
    frames = torch.zeros(2, 3, *(side * PATCH for side in CANVAS), dtype=torch.uint8)
    clip = ShownClip("clip.mp4", "clips", frames, rectangles, CANVAS, 1, layout)
    values = clip.over_frames(torch.arange(12.0))
    assert torch.equal(values[1, 1:3, 2:5], torch.arange(6.0, 12).view(2, 3))
    assert values.isnan().sum() == values.numel() - 12
