"""Distillation on its own: losses, frames, layers, alignment with the teacher's grid, and choosing it in YAML."""

from collections.abc import Callable

import jsonargparse
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from components.distillation import (
    AlignmentHead,
    CosineDistillation,
    Distillation,
    MSEDistillation,
    NoDistillation,
    align,
)
from components.official import load_official
from components.registry import members

SIZES = [(2, 3), (1, 1), (4, 2)]  # rows and columns of the student's tokens in three frames
GRIDS = torch.tensor(SIZES)
FRAMES = torch.tensor([0] * 6 + [1] + [2] * 8)


def hidden_states(distillation, width):
    return [torch.randn(len(FRAMES), width) for _ in distillation.hidden_layers]


@pytest.mark.parametrize(
    ("member", "distance"),
    [
        (CosineDistillation, lambda x, y: 1 - F.cosine_similarity(x, y, dim=-1).mean()),
        (MSEDistillation, F.mse_loss),
    ],
)
def test_the_loss_is_a_mean_over_frames_of_means_over_tokens(member, distance):
    torch.manual_seed(0)
    distillation = member(16, 4, 24)
    states, teacher = hidden_states(distillation, 16), torch.randn(len(FRAMES), 24)
    prediction = distillation.head(states)
    sizes = FRAMES.bincount().tolist()
    expected = torch.stack(
        [distance(*pair) for pair in zip(prediction.split(sizes), teacher.split(sizes), strict=True)]
    )
    torch.testing.assert_close(distillation(states, teacher, FRAMES, 3), expected.mean())


def test_a_teacher_that_is_predicted_exactly_costs_nothing():
    torch.manual_seed(0)
    for member in (CosineDistillation, MSEDistillation):
        distillation = member(16, 4, 24)
        states = hidden_states(distillation, 16)
        teacher = distillation.head(states)
        torch.testing.assert_close(distillation(states, teacher, FRAMES, 3), torch.zeros(()))
    # Only the direction counts for the cosine.
    torch.testing.assert_close(
        CosineDistillation.distance(distillation, teacher, 3 * teacher), torch.zeros(len(FRAMES)), atol=1e-6, rtol=0
    )


def test_the_weight_is_left_to_the_caller():
    torch.manual_seed(0)
    heavy, light = CosineDistillation(16, 4, 24, weight=3.0), CosineDistillation(16, 4, 24, weight=0.0)
    light.load_state_dict(heavy.state_dict())
    states, teacher = hidden_states(heavy, 16), torch.randn(len(FRAMES), 24)
    assert (heavy.weight, light.weight) == (3.0, 0.0)
    assert torch.equal(heavy(states, teacher, FRAMES, 3), light(states, teacher, FRAMES, 3))


def test_no_distillation_needs_nothing():
    distillation = NoDistillation(16, 4, 0)
    assert distillation.hidden_layers == ()
    assert list(distillation.parameters()) == []
    assert distillation([], torch.zeros(0, 0), FRAMES[:0], 0).item() == 0


def test_reduced_precision_ends_in_float32():
    distillation = CosineDistillation(16, 4, 24).bfloat16()
    states = [state.bfloat16() for state in hidden_states(distillation, 16)]
    assert distillation(states, torch.randn(len(FRAMES), 24), FRAMES, 3).dtype == torch.float32


def test_no_graph_breaks():
    torch.manual_seed(0)
    distillation = CosineDistillation(16, 4, 24)
    states, teacher = hidden_states(distillation, 16), torch.randn(len(FRAMES), 24)
    compiled = torch.compile(distillation, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(states, teacher, FRAMES, 3), distillation(states, teacher, FRAMES, 3))


@pytest.mark.parametrize(
    ("settings", "layers"),
    [
        ({}, (32, 28, 24, 20, 16, 12, 8, 4, 0)),
        ({"every": 16}, (32, 16, 0)),
        ({"every": 10}, (32, 22, 12, 2, 0)),
        ({"every": 64}, (32, 0)),
        ({"layers": [-1, 0]}, (32, 0)),
        ({"layers": [31, 2, -33]}, (31, 2, 0)),
    ],
)
def test_layers(settings, layers):
    with torch.device("meta"):
        assert CosineDistillation(8, 32, 8, **settings).hidden_layers == layers


def test_the_first_hidden_state_asks_the_others():
    torch.manual_seed(0)
    questions, answers = torch.randn(2, 5, 16), torch.randn(2, 5, 16)
    for layers, matters in ((2, False), (3, True)):  # of a single answer everyone gets all
        head = AlignmentHead(16, 24, layers, heads=4)
        nn.init.normal_(head.projections[0][1].weight)
        nn.init.zeros_(head.shortcut.weight)
        first, second = (head([question, *answers[: layers - 1]]) for question in questions)
        assert torch.allclose(first, second, atol=1e-6) != matters


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": -0.5}, r"weight: -0.5"),
        ({"weight": float("nan")}, r"weight: nan"),
        ({"every": 0}, r"every: 0 is not at least 1"),
        ({"layers": [4, 5, 0]}, r"hidden states 0 \(its input\) to 4, but no 5"),
        ({"layers": [-6, 0]}, r"but no -6"),
        ({"layers": [4, -1]}, r"names a hidden state twice"),
        ({"layers": [4]}, r"at least two hidden states"),
        ({"heads": 5}, r"heads: 5 does not divide the teacher's width 24"),
        ({"heads": 0}, r"heads: 0 does not divide"),
        ({"teacher_width": 0}, r"model.teacher is NoTeacher and model.distillation is CosineDistillation"),
    ],
)
def test_bad_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        CosineDistillation(**{"llm_width": 16, "llm_layers": 4, "teacher_width": 24} | arguments)


def test_a_teacher_of_another_width_is_refused():
    distillation = CosineDistillation(16, 4, 24)
    with pytest.raises(ValueError, match=r"features have width 32, but model.distillation was built for 24"):
        distillation(hidden_states(distillation, 16), torch.randn(len(FRAMES), 32), FRAMES, 3)


@pytest.mark.parametrize("offset", [(0, 0), (2, 3)])
@pytest.mark.parametrize("sizes", [SIZES, [(4, 6), (2, 2), (8, 4)], [(6, 9), (3, 1), (4, 2)], [(5, 4), (3, 7), (7, 5)]])
def test_alignment_pools_every_frame_as_torch_does(offset, sizes):
    torch.manual_seed(0)
    features = torch.randn(3, 10, 12, 8)
    rectangles = torch.tensor([[*offset, *size] for size in sizes])
    alignment = align(GRIDS, rectangles, (10, 12))
    expected = []
    for frame, (top, left, height, width) in zip(features, rectangles.tolist(), strict=True):
        valid = frame[top : top + height, left : left + width].permute(2, 0, 1)
        expected.append(F.adaptive_avg_pool2d(valid, tuple(GRIDS[len(expected)].tolist())).flatten(1).T)
    torch.testing.assert_close(alignment.pool(features), torch.cat(expected))
    assert torch.equal(alignment.frames, FRAMES)
    assert alignment.frame_count == 3


def test_an_alignment_of_equal_grids_copies():
    features = torch.randn(3, 4, 4, 8)
    alignment = align(GRIDS, torch.tensor([[0, 0, *size] for size in SIZES]), (4, 4))
    assert alignment.patches.shape[1] == 1
    expected = [frame[:rows, :columns].flatten(0, 1) for frame, (rows, columns) in zip(features, SIZES, strict=True)]
    assert torch.equal(alignment.pool(features), torch.cat(expected))


@pytest.mark.parametrize(
    ("rectangles", "message"),
    [
        ([[0, 0, 2, 3], [0, 0, 1, 1]], r"grids for 3 frames and the teacher rectangles for 2"),
        ([[0, 0, 2, 3], [0, 0, 1, 1], [0, 0, 5, 2]], r"of frame 2 leaves the teacher's canvas of \(4, 4\)"),
        ([[0, 0, 2, 3], [-1, 0, 1, 1], [0, 0, 4, 2]], r"of frame 1 leaves"),
        ([[0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 4, 2]], r"of frame 0 holds fewer patches.*\[2, 3\].*teacher"),
    ],
)
def test_an_alignment_that_cannot_be_is_refused(rectangles, message):
    with pytest.raises(ValueError, match=message):
        align(GRIDS, torch.tensor(rectangles), (4, 4))


def test_official_weights_without_a_head_to_put_them_into_are_reported():
    head = CosineDistillation(8, 4, 16).head
    weights = {f"video_tower_compressor.output_layer.{name}": t for name, t in head.output.state_dict().items()}
    copies = {"video_tower_compressor.teacher_layer.video_tower.post_layernorm.weight": torch.ones(4)}
    for distillation in (None, NoDistillation(8, 4, 16)):
        report = load_official(nn.Identity(), nn.Identity(), weights | copies, distillation)
        assert report.absent == tuple(weights)
        assert report.unused == tuple(copies)
    with pytest.raises(ValueError, match=r"no key for distillation.head.projections.0.0.bias"):
        load_official(nn.Identity(), nn.Identity(), weights, CosineDistillation(8, 4, 16))
    larger = CosineDistillation(8, 8, 16).head.state_dict()
    official = {"projections": "norm_layer", "shortcut": "input_layer", "output": "output_layer"}
    weights = {
        f"video_tower_compressor.{official[name.split('.')[0]]}.{name.split('.', 1)[1]}": tensor
        for name, tensor in larger.items()
    }
    with pytest.raises(ValueError, match=r"the distillation head reads fewer hidden states"):
        load_official(nn.Identity(), nn.Identity(), weights, CosineDistillation(8, 4, 16))
    with pytest.raises(ValueError, match=r"unknown key video_tower_compressor.surprise"):
        load_official(nn.Identity(), nn.Identity(), {"video_tower_compressor.surprise": torch.ones(1)})


class Slot:
    def __init__(self, distillation: Callable[[int, int, int], Distillation] = CosineDistillation):
        self.distillation = distillation(16, 4, 24)


def test_the_family():
    assert set(members(Distillation)) == {"CosineDistillation", "MSEDistillation", "NoDistillation"}


@pytest.mark.parametrize(
    ("flags", "expected", "weight"),
    [
        ([], CosineDistillation, 1.0),
        (["--slot.distillation=NoDistillation"], NoDistillation, 0.0),
        (["--slot.distillation=MSEDistillation", "--slot.distillation.weight=0.5"], MSEDistillation, 0.5),
        (["--slot.distillation=CosineDistillation", "--slot.distillation.layers=[-1,0]"], CosineDistillation, 1.0),
    ],
)
def test_distillations_are_chosen_by_name(flags, expected, weight):
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Slot, "slot")
    chosen = parser.instantiate(parser.parse_args(flags)).slot.distillation
    assert type(chosen) is expected
    assert chosen.weight == weight
