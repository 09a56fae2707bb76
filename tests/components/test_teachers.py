"""Teachers: frozen and never saved, the right hidden state, clips kept apart, and how YAML names them."""

import copy
import warnings

import jsonargparse
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model

import components.teachers as family
from components.teachers import CLIPTeacher, DINOv2Teacher, InternVideo2Teacher, NoTeacher, Teacher, Untrained
from components.teachers import internvideo2 as internvideo2_file

SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "patch_size": 4, "image_size": 12}
SMALL = Untrained(width=16, layers=3, heads=2, patch_size=4)
MEMBERS = [CLIPTeacher, DINOv2Teacher, InternVideo2Teacher]


@torch.no_grad()
def lively(network):
    """Fresh weights are so small that layers would hardly show."""
    for weight in network.parameters():
        weight.copy_(torch.randn_like(weight) * (0.3 if weight.ndim > 1 else 0.1) + (weight.ndim == 1))
    return network.eval()


def video(frames=5, canvas=12):
    return torch.randint(0, 256, (frames, 3, canvas, canvas), dtype=torch.uint8)


def normalized(frames, teacher):
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (teacher.pixel_mean, teacher.pixel_std))
    return (frames / 255 - mean) / std


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
    assert not features.requires_grad
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
    ("member", "sees"), [(CLIPTeacher, False), (DINOv2Teacher, False), (InternVideo2Teacher, True)]
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


# InternVideo2


def published_internvideo2(width=24, heads=4, layers=3, hidden=40, patch=4, frames=2, side=3):
    """Weights under the published names, as in a stage-2 checkpoint, and the forward pass written out."""
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + frames * side**2, width),
        "img_pos_embed": (1, 1 + side**2, width),
        "patch_embed.proj.weight": (width, 3, 1, patch, patch),
        "patch_embed.proj.bias": (width,),
    }
    for layer in range(layers):
        shapes |= {
            f"blocks.{layer}.{name}": shape
            for name, shape in {
                **dict.fromkeys(("norm1.weight", "norm2.weight", "ls1.gamma", "ls2.gamma"), (width,)),
                **dict.fromkeys(("attn.q_norm.weight", "attn.k_norm.weight", "attn.proj.bias"), (width,)),
                "attn.qkv.weight": (3 * width, width),
                "attn.proj.weight": (width, width),
                "mlp.fc1.weight": (hidden, width),
                "mlp.fc1.bias": (hidden,),
                "mlp.fc2.weight": (width, hidden),
                "mlp.fc2.bias": (width,),
            }.items()
        }
    w = {name: 0.3 * torch.randn(shape) for name, shape in shapes.items()}

    def rms(x, weight):
        return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight

    def hidden_state(clip, count):
        """Hidden state after `count` layers of one clip (frames, 3, S, S)."""
        tokens = F.conv2d(clip, w["patch_embed.proj.weight"][:, :, 0], w["patch_embed.proj.bias"], stride=patch)
        tokens = tokens.flatten(2).mT.flatten(0, 1)
        x = torch.cat([w["cls_token"][0], tokens])
        x = x + (w["img_pos_embed"] if len(clip) == 1 else w["pos_embed"])[0]
        for layer in range(count):
            block = {name.split(".", 2)[2]: v for name, v in w.items() if name.startswith(f"blocks.{layer}.")}
            q, k, v = (rms(x, block["norm1.weight"]) @ block["attn.qkv.weight"].T).split(width, 1)
            q, k = rms(q, block["attn.q_norm.weight"]), rms(k, block["attn.k_norm.weight"])
            mixed = []
            for head in range(heads):
                part = slice(head * width // heads, (head + 1) * width // heads)
                mixed.append(((q[:, part] @ k[:, part].T) * (width // heads) ** -0.5).softmax(-1) @ v[:, part])
            attended = torch.cat(mixed, 1) @ block["attn.proj.weight"].T + block["attn.proj.bias"]
            x = x + attended * block["ls1.gamma"]
            inner = F.gelu(rms(x, block["norm2.weight"]) @ block["mlp.fc1.weight"].T + block["mlp.fc1.bias"])
            x = x + (inner @ block["mlp.fc2.weight"].T + block["mlp.fc2.bias"]) * block["ls2.gamma"]
        return x[1:].view(len(clip), side, side, width)

    return w, hidden_state


def stage2_file(folder, w):
    extra = {
        "vision_encoder.clip_projector.norm1_q.weight": torch.ones(2),
        "vision_encoder.clip_pos_embed": torch.ones(2),
        "vision_encoder.clip_decoder.0.head.weight": torch.ones(2),
        "text_encoder.bert.pooler.dense.weight": torch.ones(2),
        "temp": torch.tensor(0.07),
    }
    content = {f"vision_encoder.{name}": tensor for name, tensor in w.items()} | extra
    torch.save({"module": content, "step": 3}, folder / "stage2.pt")
    return folder / "stage2.pt"


@pytest.fixture
def heads(monkeypatch):
    monkeypatch.setitem(internvideo2_file.HEADS_OF_WIDTH, 24, 4)


@pytest.mark.parametrize("layer", [-1, -2])
def test_internvideo2_is_the_published_network(tmp_path, heads, layer):
    torch.manual_seed(0)
    w, hidden_state = published_internvideo2()
    stage2_file(tmp_path, w)
    teacher = InternVideo2Teacher(str(tmp_path), layer=layer, canvas=12)
    frames = video(5)
    pixels = normalized(frames, teacher)
    expected = torch.cat([hidden_state(clip, 4 + layer) for clip in pixels.split([2, 1, 2])])
    torch.testing.assert_close(teacher(frames, [2, 1, 2]), expected, atol=1e-4, rtol=1e-4)
    # The encoder alone, as safetensors, is as good.
    save_file(w, tmp_path / "vision.safetensors")
    alone = InternVideo2Teacher(str(tmp_path / "vision.safetensors"), layer=layer, canvas=12)
    assert alone.fingerprint() == teacher.fingerprint()
    with pytest.raises(ValueError, match=r"with one file of weights; found: stage2.pt, vision.safetensors"):
        InternVideo2Teacher(str(tmp_path))


def test_internvideo2_interpolates_positions():
    torch.manual_seed(0)
    network = InternVideo2Teacher(SMALL, canvas=12).network
    assert torch.equal(network.positions(8, 3), network.pos_embed)
    assert torch.equal(network.positions(1, 3), network.img_pos_embed)
    with torch.no_grad():
        network.pos_embed[0, 1:] = torch.arange(8.0).repeat_interleave(9)[:, None]  # the time
    longer = network.positions(16, 5)[0, 1:].unflatten(0, (16, 25))
    expected = ((torch.arange(16) + 0.5) / 2 - 0.5).clamp(0, 7)[:, None, None].expand(16, 25, 16)
    torch.testing.assert_close(longer, expected)
    torch.testing.assert_close(network.positions(16, 5)[0, 0], network.pos_embed[0, 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("blocks.1.ls2.gamma"), r"Missing key.*blocks.1.ls2.gamma"),
        (lambda w: w.update({"blocks.0.surprise": torch.ones(1)}), r"Unexpected key.*blocks.0.surprise"),
        (lambda w: w.update({"blocks.1.norm1.weight": torch.ones(3)}), r"size mismatch for blocks.1.norm1.weight"),
        (lambda w: w.pop("img_pos_embed"), r"missing: img_pos_embed"),
        (lambda w: w.update({"patch_embed.proj.weight": torch.ones(32, 3, 1, 4, 4)}), r"has width 32"),
        (lambda w: w.update({"patch_embed.proj.weight": torch.ones(24, 3, 2, 4, 4)}), r"patches over 2 frames"),
    ],
)
def test_internvideo2_weights_that_do_not_fit_are_refused(tmp_path, heads, change, message):
    w, _ = published_internvideo2()
    change(w)
    with pytest.raises(ValueError, match=message):
        InternVideo2Teacher(str(stage2_file(tmp_path, w)), canvas=12)


def test_internvideo2_files_are_read_as_tensors_only(tmp_path):
    torch.save({"model": Model(nn.Identity())}, tmp_path / "code.pt")
    with pytest.raises(ValueError, match=r"cannot be read as tensors only"):
        InternVideo2Teacher(str(tmp_path / "code.pt"))
    torch.save(torch.ones(1), tmp_path / "tensor.pt")
    with pytest.raises(ValueError, match=r"holds Tensor, not tensors by name"):
        InternVideo2Teacher(str(tmp_path / "tensor.pt"))


# YAML


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
    assert family.__all__ == sorted(family.__all__)
