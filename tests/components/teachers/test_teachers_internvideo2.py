"""InternVideo2's network against its forward pass written out, and files of its weights."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from components.teachers import InternVideo2Teacher
from components.teachers import internvideo2_teacher as internvideo2_file
from tests.components.small_teachers import SMALL, normalized, published_internvideo2, video


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
    torch.save({"model": nn.Linear(2, 2)}, tmp_path / "code.pt")
    with pytest.raises(ValueError, match=r"cannot be read as tensors only"):
        InternVideo2Teacher(str(tmp_path / "code.pt"))
    torch.save(torch.ones(1), tmp_path / "tensor.pt")
    with pytest.raises(ValueError, match=r"holds Tensor, not tensors by name"):
        InternVideo2Teacher(str(tmp_path / "tensor.pt"))
