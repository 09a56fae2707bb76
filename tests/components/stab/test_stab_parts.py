"""Parts of STAB on their own, the projectors, and choosing parts in YAML."""

import jsonargparse
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.plain_stab import plain_attention
from components.encoders import STAB, VideoEncoder
from components.groups import Groups
from components.projectors import IdentityProjector, LinearProjector, MLPProjector
from components.stab import (
    FSRA,
    GSTRA,
    LSD,
    LSTE,
    AveragePool,
    DynamicPositionEncoding,
    EqualChunks,
    FrameOnly,
    LearnedFusion,
    NoLocalEncoding,
    NoPositionEncoding,
    NoVideoAggregator,
    OfficialChunks,
)
from components.stab.chunking import chunk_sizes
from components.stab.grid import Chunks, ValidArea
from components.stab.local_encoding import TemporalConvolution
from components.stab.single_query_attention import SingleQueryAttention


@pytest.mark.parametrize(
    ("frames", "chunk_frames", "sizes"),
    [
        (1, 4, [1]),
        (3, 4, [3]),
        (4, 4, [4]),
        (7, 4, [7]),
        (8, 4, [4, 4]),
        (9, 4, [5, 4]),
        (10, 4, [5, 5]),
        (11, 4, [6, 5]),
        (14, 4, [5, 5, 4]),
        (3, 1, [1, 1, 1]),
    ],
)
def test_chunk_sizes(frames, chunk_frames, sizes):
    assert chunk_sizes(torch.tensor([frames]), chunk_frames).tolist() == sizes
    both = chunk_sizes(torch.tensor([8, frames]), chunk_frames).tolist()
    assert both == chunk_sizes(torch.tensor([8]), chunk_frames).tolist() + sizes


def test_official_rule_of_chunks_where_it_works():
    for frames in range(4, 25):
        official = torch.arange(frames).chunk(frames // 4)
        if len({len(chunk) for chunk in official}) == 1:
            assert chunk_sizes(torch.tensor([frames]), 4).tolist() == [len(chunk) for chunk in official]


def test_groups_lay_members_out():
    groups = Groups.of_sizes(torch.tensor([2, 1, 3]))
    values = torch.arange(1.0, 7)
    assert groups.pad(values, -1.0).tolist() == [[1, 2, -1], [3, -1, -1], [4, 5, 6]]
    assert groups.unpad(groups.pad(values, -1.0)).tolist() == values.tolist()
    assert groups.group.tolist() == [0, 0, 1, 2, 2, 2]
    assert Groups.of_sizes(torch.tensor([], dtype=torch.int64)).pad(values[:0], 0.0).shape == (0, 0)


@pytest.mark.parametrize("frames", range(1, 65))
def test_official_chunks_are_those_of_torch_or_refused(frames):
    chunking = OfficialChunks(4)
    sizes = [len(chunk) for chunk in torch.arange(frames).chunk(max(frames // 4, 1))]
    if frames >= 4 and len(set(sizes)) == 1:
        assert chunking(torch.tensor([frames])).tolist() == sizes
        assert chunking(torch.tensor([8, frames])).tolist() == [4, 4, *sizes]
    else:
        assert EqualChunks(4)(torch.tensor([frames])).sum() == frames
        with pytest.raises(ValueError, match=rf"a clip of {frames} frames cannot be cut .* or EqualChunks .model"):
            chunking(torch.tensor([8, frames]))


def test_official_chunks_of_images_alone():
    assert OfficialChunks(4)(torch.zeros(0, dtype=torch.int64)).tolist() == []


@pytest.mark.parametrize("sizes", [[4, 4, 4], [3, 1, 2], [1, 1], [5], []])
def test_neighbours_are_of_the_same_chunk_also_in_gradients(sizes):
    torch.manual_seed(0)
    chunks = Chunks.of_clips(torch.tensor([sum(sizes)]), torch.tensor(sizes, dtype=torch.int64))
    values = [torch.randn(sum(sizes), 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    here, before, after = (value.detach() for value in values)
    expected = here.clone()
    for t in range(1, sum(sizes)):
        if chunks.group[t] == chunks.group[t - 1]:
            expected[t] += before[t - 1]
            expected[t - 1] += after[t]
    assert torch.equal(chunks.add_neighbours(*values), expected) and torch.equal(values[0], here)
    with torch.no_grad():
        assert torch.equal(chunks.add_neighbours(here.clone(), before, after), expected)
    assert not sizes or torch.autograd.gradcheck(chunks.add_neighbours, values)


def test_time_does_not_cross_chunks():
    torch.manual_seed(0)
    sizes = [3, 1, 2]
    chunks = Chunks.of_clips(torch.tensor([sum(sizes)]), torch.tensor(sizes))
    tokens = torch.randn(6, 4, 5, 16, dtype=torch.float64)
    encoding = DynamicPositionEncoding(16).double()
    nn.init.normal_(encoding.bias)
    temporal = TemporalConvolution(16).double()
    encoded, mixed = encoding(tokens, chunks), temporal(tokens, chunks)
    for ours_encoded, ours_mixed, chunk in zip(*(x.split(sizes) for x in (encoded, mixed, tokens)), strict=True):
        video = chunk.permute(3, 0, 1, 2)
        expected = video + F.conv3d(video, encoding.weight, encoding.bias, padding=1, groups=16)
        torch.testing.assert_close(ours_encoded.permute(3, 0, 1, 2), expected)
        taps = temporal.weight[:, None, :, None, None]
        expected = F.conv3d(video, taps, temporal.bias, padding=(1, 0, 0), groups=16)
        torch.testing.assert_close(ours_mixed.permute(3, 0, 1, 2), expected)


@pytest.mark.parametrize("bias", [True, False])
def test_attention_equals_full_keys_and_values(bias):
    torch.manual_seed(0)
    attention = SingleQueryAttention(24, heads=4, scale=0.7, bias=bias).double()
    for parameter in attention.parameters():
        nn.init.normal_(parameter)
    query, tokens = torch.randn(3, 24).double(), torch.randn(3, 5, 24).double()
    expected = plain_attention(attention, query[:, None], tokens)[:, 0]
    torch.testing.assert_close(attention(query, tokens), expected)
    visible = torch.tensor([[True] * 5, [True, True, False, False, False], [True] * 5])
    masked = attention(query, tokens, visible)
    torch.testing.assert_close(masked[0], expected[0])
    torch.testing.assert_close(masked[1:2], plain_attention(attention, query[1:2, None], tokens[1:2, :2])[:, 0])


def test_scales_are_the_official_ones():
    assert GSTRA(64, heads=4).attention.scale == 16**-0.5
    assert LSD(64, heads=4).attention.scale == FSRA(64, heads=4).attention.scale == 64**-0.5


def test_position_encoding_is_a_slot():
    lste = LSTE(16, position_encoding=NoPositionEncoding).eval()
    chunks = Chunks.of_clips(torch.tensor([4]), torch.tensor([4]))
    patches = torch.randn(4, 3, 3, 16)
    valid = ValidArea.of_rectangles(torch.tensor([0, 0, 3, 3]).expand(4, 4), (3, 3))
    torch.testing.assert_close(lste(patches, chunks, valid), patches)  # nothing else is on before training
    assert not any(name.startswith("position_encoding") for name, _ in lste.named_parameters())


def test_average_pool():
    windows = torch.randn(5, 4, 8)
    frames = Groups.of_sizes(torch.tensor([2, 3]))
    torch.testing.assert_close(AveragePool(8)(windows, frames), windows.mean(1))
    with pytest.raises(ValueError, match="stride: 0"):
        AveragePool(8, stride=0)


def test_fusion_weights_the_frame_context_by_the_balance():
    fusion = LearnedFusion(16).eval()
    frame, video, all_frames = torch.randn(3, 16), torch.randn(3, 16), torch.arange(3)
    nn.init.constant_(fusion.balance, 100.0)
    torch.testing.assert_close(fusion(frame, video, all_frames), fusion.projection(frame))
    nn.init.constant_(fusion.balance, -100.0)
    torch.testing.assert_close(fusion(frame, video, all_frames), fusion.projection(video))
    # Frame 1 is an image: its context stays as it is.
    some = torch.tensor([0, 2])
    torch.testing.assert_close(fusion(frame, video[some], some)[1], frame[1])


def test_projectors():
    features = torch.randn(5, 8)
    mlp = MLPProjector(8, 12)
    expected = mlp.layers[2](F.gelu(mlp.layers[0](features), approximate="none"))
    torch.testing.assert_close(mlp(features), expected)
    assert LinearProjector(8, 12)(features).shape == (5, 12)
    assert torch.equal(IdentityProjector(8, 8)(features), features)
    with pytest.raises(ValueError, match="features have 8 and the language model 12"):
        IdentityProjector(8, 12)


def parser():
    result = jsonargparse.ArgumentParser(exit_on_error=False)
    result.add_argument("--config", action="config")
    result.add_subclass_arguments(VideoEncoder, "encoder")
    return result


def test_parts_are_chosen_by_name_on_the_command_line():
    arguments = ["--encoder=STAB", "--encoder.width=64", "--encoder.local_encoding=NoLocalEncoding"]
    encoder = parser().instantiate(parser().parse_args(arguments)).encoder
    assert isinstance(encoder, STAB)
    assert isinstance(encoder.local_encoding, NoLocalEncoding)
    assert isinstance(encoder.fusion, LearnedFusion)


def test_parts_are_chosen_in_yaml(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        """
encoder:
  class_path: STAB
  init_args:
    width: 64
    local_encoding:
      class_path: LSTE
      init_args: {position_encoding: NoPositionEncoding}
    video_aggregator: NoVideoAggregator
    dropout: 0.1
    fusion: FrameOnly
    downsampling: {class_path: LSD, init_args: {heads: 4}}
"""
    )
    encoder = parser().instantiate(parser().parse_args([f"--config={config}"])).encoder
    assert encoder.width == 64
    assert isinstance(encoder.local_encoding.position_encoding, NoPositionEncoding)
    assert isinstance(encoder.video_aggregator, NoVideoAggregator)
    assert isinstance(encoder.fusion, FrameOnly)
    assert encoder.fusion.projection.dropout.p == 0.1
    assert encoder.downsampling.attention.heads == 4


def test_an_unknown_part_is_refused():
    with pytest.raises(jsonargparse.ArgumentError, match="NoLSTE"):
        parser().parse_args(["--encoder=STAB", "--encoder.local_encoding=NoLSTE"])
