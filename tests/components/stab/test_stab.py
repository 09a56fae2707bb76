"""Properties of STAB as a whole: packing and slots."""

import itertools
from functools import partial

import pytest
import torch

from benchmarks.plain_stab import PlainSTAB
from components.encoders import STAB, VideoShapes
from components.stab import (
    LSD,
    AveragePool,
    DynamicPositionEncoding,
    FrameOnly,
    NoContext,
    NoFrameAggregator,
    NoLocalEncoding,
    NoRowTokens,
    NoVideoAggregator,
)
from tests.components.small_stab import CANVAS, PATCH, REMOVALS, VARIANTS, WIDTH, build, clips, tokens_of


@pytest.mark.parametrize("variant", VARIANTS)
def test_batch_equals_each_clip_alone(variant):
    stab = build(**VARIANTS[variant])
    counts = (5, 1, 2, 3, 8, 1, 9, 11)
    frames, shapes = clips(*counts, patch_size=stab.patch_size)
    together = tokens_of(stab, frames, shapes)
    for clip, (pixels, rectangles) in enumerate(
        zip(frames.split(counts), shapes.rectangles.split(counts), strict=True)
    ):
        (alone,) = tokens_of(stab, pixels, VideoShapes(torch.tensor([counts[clip]]), rectangles, CANVAS))
        torch.testing.assert_close(together[clip], alone, atol=1e-10, rtol=0)


def test_equals_the_plain_formulation_with_gradients():
    stab = build(chunk_frames=4)
    frames, shapes = clips(8, 1, 5, 9, 2)
    (packed, looped) = (frames.clone().requires_grad_() for _ in range(2))
    weights = None
    gradients = []
    for pixels, function in ((packed, lambda x: torch.cat(tokens_of(stab, x, shapes))), (looped, plain(stab, shapes))):
        stab.zero_grad()
        tokens = function(pixels)
        weights = torch.randn_like(tokens) if weights is None else weights
        (tokens * weights).sum().backward()
        gradients.append([tokens.detach(), pixels.grad] + [parameter.grad for parameter in stab.parameters()])
    names = ["tokens", "pixels"] + [name for name, _ in stab.named_parameters()]
    for name, ours, theirs in zip(names, *gradients, strict=True):
        assert ours is not None, name
        # The bias of the keys gets a zero gradient here and rounding errors in the plain formulation.
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-9, msg=lambda text, name=name: f"{name}: {text}")


def plain(stab, shapes):
    return lambda frames: torch.cat(PlainSTAB(stab)(frames, shapes))


def test_training_statistics_come_from_videos_only():
    stab = build(dropout=0.0).train()
    frames, shapes = clips(4, 1)
    before = stab.local_encoding.norm.running_mean.clone()
    tokens_of(stab, frames[4:], VideoShapes(torch.tensor([1]), shapes.rectangles[4:], CANVAS))
    assert torch.equal(stab.local_encoding.norm.running_mean, before)
    mixed = tokens_of(stab, frames, shapes)[0]
    after = stab.local_encoding.norm.running_mean.clone()
    stab.local_encoding.norm.running_mean.copy_(before)
    alone = tokens_of(stab, frames[:4], VideoShapes(torch.tensor([4]), shapes.rectangles[:4], CANVAS))[0]
    torch.testing.assert_close(mixed, alone)
    torch.testing.assert_close(after, stab.local_encoding.norm.running_mean)
    assert not torch.equal(after, before)


def test_an_image_skips_the_video_path():
    frames, shapes = clips(1)
    stab = build()
    expected = tokens_of(stab, frames, shapes)[0]
    without = build(local_encoding=NoLocalEncoding, video_aggregator=NoVideoAggregator, fusion=FrameOnly)
    torch.testing.assert_close(tokens_of(without, frames, shapes)[0], expected)
    layout = stab.layout(shapes)
    assert len(layout.video_frames) == 0
    assert len(build(**VARIANTS["no_fsra"]).layout(shapes).video_frames) == 1


def test_frame_order_matters_within_a_chunk_only():
    stab = build()
    frames, _ = clips(8)
    shapes = VideoShapes(torch.tensor([8]), torch.tensor([0, 0, *CANVAS]).expand(8, 4), CANVAS)
    (tokens,) = tokens_of(stab, frames, shapes)
    swapped = frames[[1, 0, 2, 3, 4, 5, 6, 7]]
    (after,) = tokens_of(stab, swapped, shapes)
    before, after = tokens.unflatten(0, (8, -1)), after.unflatten(0, (8, -1))
    # Frame 3 is no neighbour of the swapped ones, but its context token sums up the chunk.
    assert (before[3, 0] - after[3, 0]).abs().max() > 1e-6
    assert (before[0] - after[1]).abs().max() > 1e-6
    torch.testing.assert_close(before[4:], after[4:])

    still = build(**VARIANTS["no_gstra_no_lste"])
    (tokens,), (after,) = tokens_of(still, frames, shapes), tokens_of(still, swapped, shapes)
    torch.testing.assert_close(tokens.unflatten(0, (8, -1))[0], after.unflatten(0, (8, -1))[1])


@pytest.mark.parametrize(
    ("variant", "padding_counts"), [("full", True), ("no_lste", True), ("no_gstra", True), ("no_gstra_no_lste", False)]
)
def test_pixels_outside_the_rectangle(variant, padding_counts):
    stab = build(**VARIANTS[variant])
    frames, shapes = clips(4)
    shapes = VideoShapes(shapes.frame_counts, torch.tensor([1, 2, 4, 4]).expand(4, 4), CANVAS)
    changed = torch.randn_like(frames)
    inside = (..., slice(1 * PATCH, 5 * PATCH), slice(2 * PATCH, 6 * PATCH))
    changed[inside] = frames[inside]
    difference = (tokens_of(stab, frames, shapes)[0] - tokens_of(stab, changed, shapes)[0]).abs().max()
    assert (difference > 1e-6) if padding_counts else (difference == 0)


@pytest.mark.parametrize("variant", list(REMOVALS)[1:])
def test_a_removed_part_leaves_no_parameters_and_is_missed(variant):
    full, ablated = build(), build(**VARIANTS[variant])
    removed = {
        slot
        for slot, part in VARIANTS[variant].items()
        if part in (NoRowTokens, NoFrameAggregator, AveragePool, NoLocalEncoding, NoVideoAggregator, NoContext)
    }
    kept = {name for name, _ in full.named_parameters() if name.split(".")[0] not in removed}
    kept -= {"fusion.balance"} if "fusion" in VARIANTS[variant] else set()
    assert {name for name, _ in ablated.named_parameters()} == kept
    for slot in removed:
        assert sum(1 for _ in getattr(ablated, slot).parameters()) == 0

    frames, shapes = clips(4)
    (before,), (after,) = tokens_of(full, frames, shapes), tokens_of(ablated, frames, shapes)
    assert before.shape != after.shape or (before - after).abs().max() > 1e-6


def test_token_counts_and_order():
    frame_counts = torch.tensor([1, 2])
    shapes = VideoShapes(frame_counts, torch.tensor([[0, 0, 4, 6], [1, 1, 5, 3], [2, 2, 2, 2]]), CANVAS)
    layout = build().layout(shapes)
    assert layout.token_counts == (1 + 2 * 4, (1 + 2 * 2) + (1 + 1 * 2))
    # Features: contexts 0-2, windows 3-8 | 9-10 | 11, row token 12.
    assert layout.order.tolist() == [0, 3, 4, 5, 12, 6, 7, 8, 12, 1, 9, 12, 10, 12, 2, 11, 12]
    assert build(**VARIANTS["no_row_tokens"]).layout(shapes).order.tolist() == [0, *range(3, 9), 1, 9, 10, 2, 11]
    assert build(**VARIANTS["no_context"]).layout(shapes).token_counts == (8, 6)


def test_stride_of_the_downsampling_is_the_stride_of_the_block():
    stab = build(downsampling=partial(LSD, stride=3))
    frames = torch.randn(4, 3, 12, 12, dtype=torch.float64)
    shapes = VideoShapes(torch.tensor([4]), torch.tensor([0, 0, 6, 6]).expand(4, 4), (6, 6))
    assert stab.stride == 3
    assert len(tokens_of(stab, frames, shapes)[0]) == 4 * (1 + 2 * (2 + 1))


def test_before_training_lste_only_adds_position():
    torch.manual_seed(0)
    stab = STAB(width=WIDTH, patch_size=PATCH).double().eval()
    frames, shapes = clips(4)
    layout = stab.layout(shapes)
    patches = stab.patch_embedding(frames)
    encoded = stab.local_encoding(patches, layout.chunks, layout.valid)
    encoding = stab.local_encoding.position_encoding
    assert isinstance(encoding, DynamicPositionEncoding)
    torch.testing.assert_close(encoded, encoding(patches, layout.chunks))


def test_slots_combine_freely():
    # Slots are independent: any combination with a fitting fusion works.
    frames, shapes = clips(3, 1)
    for local, row_tokens, downsampling in itertools.product(
        ({}, {"local_encoding": NoLocalEncoding}),
        ({}, {"row_tokens": NoRowTokens}),
        ({}, {"downsampling": AveragePool}),
    ):
        for contexts in ("full", "no_fsra", "no_gstra", "no_context"):
            stab = build(**{**VARIANTS[contexts], **local, **row_tokens, **downsampling})
            assert all(tokens.isfinite().all() for tokens in tokens_of(stab, frames, shapes))
