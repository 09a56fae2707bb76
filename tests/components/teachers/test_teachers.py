"""Teachers: frozen and never saved, the right hidden state, clips kept apart, and how YAML names them."""

import copy
import warnings

import jsonargparse
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model

from components.registry import members
from components.teachers import (
    CLIPTeacher,
    DINOv2Teacher,
    InternVideo2Teacher,
    LanguageBindTeacher,
    NoTeacher,
    Teacher,
    Untrained,
)
from tests.components.small_teachers import SIZES, SMALL, lively, normalized, video

MEMBERS = [CLIPTeacher, DINOv2Teacher, InternVideo2Teacher, LanguageBindTeacher]


@pytest.fixture(params=MEMBERS)
def teacher(request):
    torch.manual_seed(0)
    return request.param(SMALL, canvas=12)


# Frozen and never saved


class Model(nn.Module):
    def __init__(self, teacher):
        super().__init__()
        self.teacher = teacher
        self.head = nn.Linear(2, 2)


def test_a_teacher_stays_as_it_is(teacher):
    model = Model(teacher).train()
    assert model.training
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    features = teacher(video(), [2, 3])
    assert features.shape == (5, 3, 3, 16) == (5, *teacher.grid, teacher.width)
    model.requires_grad_(True)  # whoever thaws the whole model
    assert not teacher(video(), [2, 3]).requires_grad
    # A loss may be differentiated with respect to what is compared with the features.
    (features * torch.ones_like(features).requires_grad_()).sum().backward()


def test_a_teacher_is_no_part_of_a_checkpoint(teacher):
    model, other = Model(teacher), Model(copy.deepcopy(lively(teacher)))
    before = teacher.fingerprint()
    saved = model.state_dict()
    assert set(saved) == {"head.weight", "head.bias"}
    lively(other.teacher)
    others = other.teacher.fingerprint()
    assert others != before
    other.load_state_dict(saved)  # strict
    assert torch.equal(other.head.weight, model.head.weight)
    assert other.teacher.fingerprint() == others
    with pytest.raises(RuntimeError, match=r"Missing key.*head.bias"):
        other.load_state_dict({"head.weight": saved["head.weight"]})


def test_a_fingerprint_tells_all_that_features_depend_on(teacher):
    member = type(teacher)
    torch.manual_seed(0)
    assert member(SMALL, canvas=12).fingerprint() == teacher.fingerprint()
    others = [member(SMALL, canvas=12, layer=-1), member(SMALL, canvas=24), copy.deepcopy(teacher)]
    next(others[-1].parameters()).flatten()[0] += 1
    prints = {teacher.fingerprint(), *(other.fingerprint() for other in others)}
    assert len(prints) == 4
    others[-1].pixel_mean = (0.5, 0.5, 0.5)
    assert others[-1].fingerprint() not in prints


def test_features_do_not_depend_on_other_clips(teacher):
    lively(teacher)
    frames = video(9)
    together = teacher(frames, [2, 1, 4, 2])
    apart = [teacher(clip, [len(clip)]) for clip in frames.split([2, 1, 4, 2])]
    torch.testing.assert_close(together, torch.cat(apart))


@pytest.mark.parametrize(
    ("member", "sees"),
    [(CLIPTeacher, False), (DINOv2Teacher, False), (InternVideo2Teacher, True), (LanguageBindTeacher, True)],
)
def test_only_a_video_teacher_sees_frames_together(member, sees):
    torch.manual_seed(0)
    teacher = lively(member(SMALL, canvas=12))
    frames = video(4)
    changed = frames.clone()
    changed[3] = 255 - changed[3]
    first, second = teacher(frames, [2, 2]), teacher(changed, [2, 2])
    torch.testing.assert_close(first[:2], second[:2])
    assert torch.allclose(first[2], second[2]) != sees


def test_the_meta_device_is_enough_for_sizes():
    with torch.device("meta"):
        clip = CLIPTeacher(Untrained(width=1024, layers=24, heads=16, patch_size=14))
        billion = InternVideo2Teacher(Untrained(width=1408, layers=40, heads=16, patch_size=14))
        frames = torch.zeros(8, 3, 224, 224, dtype=torch.uint8)
    assert clip(frames, [8]).shape == (8, 16, 16, 1024)
    assert billion(frames, [8]).shape == (8, 16, 16, 1408)
    assert len(clip.network.encoder.layers) == 23
    assert len(billion.network.blocks) == 39


def test_no_teacher():
    teacher = NoTeacher()
    assert teacher.width == 0
    assert list(teacher.parameters()) == []
    assert teacher(video(), [5]).shape == (5, *teacher.grid, 0)


# Pretrained folders


@pytest.mark.parametrize("layer", [-2, -1, 1, 0])
@pytest.mark.parametrize("canvas", [12, 20])
@pytest.mark.parametrize(
    ("member", "network", "config"),
    [
        (CLIPTeacher, CLIPVisionModel, CLIPVisionConfig(**SIZES, intermediate_size=32)),
        (DINOv2Teacher, Dinov2Model, Dinov2Config(**SIZES)),
    ],
)
def test_features_are_those_of_one_hidden_state(tmp_path, member, network, config, canvas, layer):
    torch.manual_seed(0)
    full = lively(network(config))
    full.save_pretrained(tmp_path)
    teacher = member(str(tmp_path), layer=layer, canvas=canvas)
    frames = video(3, canvas)
    pixels = normalized(frames, teacher)
    more = {"interpolate_pos_encoding": True} if network is CLIPVisionModel else {}
    with torch.no_grad():
        expected = full(pixels, output_hidden_states=True, **more).hidden_states[layer][:, 1:]
    torch.testing.assert_close(teacher(frames, [3]).flatten(1, 2), expected)
    layers = sum("norm1.weight" in name for name, _ in teacher.named_parameters())
    assert layers == layer % 4


def test_the_vision_half_of_a_whole_clip(tmp_path):
    torch.manual_seed(0)
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 20}
    whole = lively(CLIPModel(CLIPConfig(text_config=text, vision_config={**SIZES, "intermediate_size": 32})))
    whole.save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        teacher = CLIPTeacher(str(tmp_path), canvas=12)
    frames = video(3)
    with torch.no_grad():
        hidden = whole.vision_model(normalized(frames, teacher), output_hidden_states=True).hidden_states
    torch.testing.assert_close(teacher(frames, [3]).flatten(1, 2), hidden[-2][:, 1:])


def test_weights_of_another_family_are_refused(tmp_path):
    Dinov2Model(Dinov2Config(**SIZES)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"config.json says dinov2, not clip or clip_vision_model"):
        CLIPTeacher(str(tmp_path))
    with pytest.raises(ValueError, match=r"does not hold InternVideo2's vision encoder; missing: patch_embed.proj"):
        InternVideo2Teacher(str(tmp_path))


def test_missing_weights_are_refused(tmp_path):
    network = Dinov2Model(Dinov2Config(**SIZES))
    network.save_pretrained(tmp_path)
    save_file(
        {name: tensor for name, tensor in network.state_dict().items() if "layer.1." not in name},
        tmp_path / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(ValueError, match=r"weights are missing.*encoder.layer.1"):
        DINOv2Teacher(str(tmp_path), canvas=12)
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"could not be loaded as a Dinov2Model"):
        DINOv2Teacher(str(tmp_path), canvas=12)


@pytest.mark.parametrize("member", MEMBERS)
def test_a_missing_folder_is_refused(tmp_path, member):
    with pytest.raises(ValueError, match=r"model.teacher.init_args.weights: .*nowhere"):
        member(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": 4}, r"layer is 4; this teacher has the hidden states 0 \(its input\) to 3, or -4 to -1"),
        ({"layer": -5}, r"layer is -5"),
        ({"canvas": 13}, r"canvas is 13; .* needs a multiple of its patches of 4 pixels"),
        ({"canvas": 0}, r"canvas is 0"),
    ],
)
@pytest.mark.parametrize("member", MEMBERS)
def test_bad_settings(member, settings, message):
    with pytest.raises(ValueError, match=message):
        member(SMALL, **{"canvas": 12} | settings)


def test_bad_sizes():
    with pytest.raises(ValueError, match=r"weights.heads is 3; it must divide the width 16"):
        Untrained(width=16, heads=3)
    with pytest.raises(ValueError, match=r"weights.layers is 0"):
        Untrained(layers=0)


@pytest.mark.parametrize(("frames", "counts"), [(video(5, 16), [5]), (video(5), [2, 2])])
def test_frames_that_do_not_fit_are_refused(teacher, frames, counts):
    with pytest.raises(ValueError, match=rf"takes frames of shape \({sum(counts)}, 3, 12, 12\)"):
        teacher(frames, counts)


# YAML


def test_the_family():
    assert {"CLIPTeacher", "DINOv2Teacher", "InternVideo2Teacher", "LanguageBindTeacher", "NoTeacher"} <= set(
        members(Teacher)
    )
    assert not {"ImageTeacher", "VideoTeacher"} & set(members(Teacher))


def test_teachers_are_chosen_in_yaml(tmp_path):
    sizes, swap, folder = (tmp_path / name for name in ("sizes.yaml", "swap.yaml", "folder.yaml"))
    sizes.write_text(
        "teacher: {class_path: CLIPTeacher, init_args: {weights: {width: 8, heads: 2, patch_size: 4}, canvas: 12}}"
    )
    swap.write_text("teacher: DINOv2Teacher")
    Dinov2Model(Dinov2Config(**SIZES)).save_pretrained(tmp_path)
    folder.write_text(f"teacher: {{init_args: {{weights: {tmp_path}}}}}")

    def chosen(*files):
        parser = jsonargparse.ArgumentParser(exit_on_error=False, parser_mode="omegaconf+")
        parser.add_argument("--config", action="config")
        parser.add_subclass_arguments(Teacher, "teacher")
        return parser.instantiate(parser.parse_args([f"--config={file}" for file in files])).teacher

    assert (type(chosen(sizes)), chosen(sizes).width) == (CLIPTeacher, 8)
    swapped = chosen(sizes, swap)
    assert (type(swapped), swapped.width, swapped.canvas) == (DINOv2Teacher, 8, 12)
    assert chosen(sizes, swap, folder).width == 16
