"""Whose statistics LSTE's batch normalisation takes: those of the batch, of each clip, or none of them."""

from functools import partial

import pytest
import torch

from components.encoders import STAB, VideoShapes
from components.stab import LSTE, BatchStatistics, ClipStatistics, FrozenStatistics, MaskedLSTE

FRAMES = (5, 4, 1, 8)  # the third one is an image, which LSTE does not see


def build(statistics, local_encoding=LSTE):
    torch.manual_seed(0)
    stab = STAB(width=16, patch_size=2, dropout=0.0, local_encoding=partial(local_encoding, statistics=statistics))
    norm = stab.local_encoding.norm
    for values in (norm.weight, norm.bias, norm.running_mean, stab.local_encoding.expand.weight):
        torch.nn.init.normal_(values)  # so that all of it shows
    return stab.double().train()


def shapes(counts):
    rectangles = torch.tensor([[0, 0, 4, 6], [1, 0, 3, 4], [0, 0, 4, 6], [2, 2, 2, 2]])
    of_clip = torch.tensor([FRAMES.index(count) for count in counts])
    return VideoShapes(torch.tensor(counts), rectangles[of_clip].repeat_interleave(torch.tensor(counts), 0), (4, 6))


def clips():
    generator = torch.Generator().manual_seed(1)
    # Of other brightness and contrast each, or whose statistics are taken would hardly matter.
    return [
        torch.randn(count, 3, 8, 12, generator=generator, dtype=torch.float64) * (1 + number) + number
        for number, count in enumerate(FRAMES)
    ]


def together(stab):
    layout = stab.layout(shapes(list(FRAMES)))
    return stab(torch.cat(clips()), layout)[layout.order]


def one_by_one(stab):
    layouts = [stab.layout(shapes([count])) for count in FRAMES]
    return torch.cat([stab(clip, layout)[layout.order] for clip, layout in zip(clips(), layouts, strict=True)])


def state(stab):
    norm = stab.local_encoding.norm
    return {name: value.clone() for name, value in norm.named_buffers()} | {
        name: parameter.grad for name, parameter in stab.named_parameters() if parameter.grad is not None
    }


@pytest.mark.parametrize("local_encoding", [LSTE, MaskedLSTE])
def test_clips_together_are_as_one_by_one(local_encoding):
    stab, official = build(ClipStatistics, local_encoding), build(BatchStatistics, local_encoding)
    ours, theirs = together(stab), one_by_one(official)
    torch.testing.assert_close(ours, theirs)
    for tokens in (ours, theirs):
        tokens.square().mean().backward()
    computed, expected = state(stab), state(official)
    assert computed.keys() == expected.keys()
    # PyTorch counts the image too.
    assert computed["num_batches_tracked"] == expected.pop("num_batches_tracked") - 1 == 3
    for name, value in expected.items():
        torch.testing.assert_close(computed[name], value, msg=name)


def test_the_statistics_of_a_batch_are_others():
    assert not torch.allclose(together(build(BatchStatistics)), one_by_one(build(BatchStatistics)))


def test_frozen_statistics_are_those_of_evaluation_and_stay():
    stab, evaluated = build(FrozenStatistics), build(BatchStatistics).eval()
    before = state(stab)
    torch.testing.assert_close(together(stab), together(evaluated))
    assert all(torch.equal(value, before[name]) for name, value in state(stab).items())


@pytest.mark.parametrize("statistics", [BatchStatistics, ClipStatistics, FrozenStatistics])
def test_evaluation_takes_the_running_statistics(statistics):
    torch.testing.assert_close(together(build(statistics).eval()), one_by_one(build(BatchStatistics).eval()))


@pytest.mark.parametrize("statistics", [ClipStatistics, FrozenStatistics])
def test_a_batch_of_images_has_none(statistics):
    stab = build(statistics)
    layout = stab.layout(shapes([1]))
    assert torch.isfinite(stab(clips()[2], layout)).all()


@pytest.mark.long
@pytest.mark.parametrize("statistics", [BatchStatistics, ClipStatistics, FrozenStatistics])
def test_a_compiled_block_gives_the_same(statistics):
    stab = build(statistics)
    layout = stab.layout(shapes(list(FRAMES)))
    compiled = torch.compile(build(statistics), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(torch.cat(clips()), layout), stab(torch.cat(clips()), layout))
