"""The other ways to fewer tokens: LSD before LSTE, half the resolution, Perceiver resampler, learned query."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.plain_stab import plain_attention
from components.encoders import STAB, VideoShapes
from components.groups import Groups
from components.stab import (
    LSD,
    AveragePool,
    BeforeLocalEncoding,
    HalfResolution,
    LearnedQueryLSD,
    PatchEmbedding,
    PerceiverResampler,
)
from datamodules.video.geometry import CanvasGeometry
from tests.components.small_stab import CANVAS, PATCH, REMOVALS, VARIANTS, WIDTH, build, clips, tokens_of
from tests.components.stab.test_stab_variants import RECTANGLE, inside, shared

# LSD before LSTE


ODD = [[1, 3, 5, 5], [0, 0, 6, 8], [1, 1, 3, 4], [2, 5, 4, 3], [1, 0, 5, 7]]
WHOLE = [[0, 0, *CANVAS]] * 5  # before local encoding the resampler sees the whole canvas


@pytest.mark.parametrize(
    ("downsampling", "rectangles"),
    [
        (LSD, ODD),
        (partial(LSD, stride=3), ODD),
        (AveragePool, ODD),
        (LearnedQueryLSD, ODD),
        (PerceiverResampler, WHOLE),
    ],
)
def test_both_placements_are_the_same_when_there_is_nothing_in_between(downsampling, rectangles):
    frames, _ = clips(4, 1)
    shapes = VideoShapes(torch.tensor([4, 1]), torch.tensor(rectangles), CANVAS)
    slots = REMOVALS["no_gstra_no_lste"] | {"downsampling": downsampling}
    after = tokens_of(build(**slots), frames, shapes)
    before = tokens_of(build(**slots, downsampling_placement=BeforeLocalEncoding), frames, shapes)
    for ours, theirs in zip(before, after, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("patch", range(4))
def test_both_placements_give_the_patches_of_a_window_in_the_same_order(patch):
    frames, shapes = clips(8, 1, 5)
    tokens = []
    for placement in ({}, {"downsampling_placement": BeforeLocalEncoding}):
        stab = build(**REMOVALS["no_gstra_no_lste"], **placement)
        stab.downsampling.forward = lambda windows, frames: windows[:, patch]
        tokens.append(torch.cat(tokens_of(stab, frames, shapes)))
    assert torch.equal(*tokens)


def test_before_local_encoding_everything_reads_merged_tokens():
    stab = build(downsampling_placement=BeforeLocalEncoding)
    frames, _ = clips(4)
    layout = stab.layout(shapes := shared(RECTANGLE))
    patches = stab.patch_embedding(frames)
    windows = patches.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).permute(0, 1, 3, 2, 4, 5).flatten(3, 4)
    average = windows.flatten(0, 2).mean(1, keepdim=True)
    merged = average + plain_attention(stab.downsampling.attention, average, windows.flatten(0, 2))
    merged = merged.view(4, 3, 4, WIDTH)
    encoded = stab.local_encoding(merged, layout.chunks, layout.valid)
    connected = (merged + encoded)[:, 1:3, 1:3].flatten(0, 2)  # the rectangle, in windows
    frame = stab.frame_aggregator(connected, layout.frames)
    video = stab.video_aggregator(encoded, layout.chunks, layout.valid).expand(4, -1)
    context = stab.fusion(frame, video, layout.video_frames)
    expected = torch.cat([context, connected, stab.row_tokens.token[None]])[layout.order]
    torch.testing.assert_close(tokens_of(stab, frames, shapes)[0], expected)


def test_before_local_encoding_costs_a_quarter():
    counts = {}
    for name in ("full", "lsd_before_lste"):
        with torch.device("meta"):
            stab, frames = STAB(**VARIANTS[name]), torch.empty(8, 3, 448, 448)
        layout = stab.layout(shared((0, 0, 32, 32), frames=8, canvas=(32, 32))).to("meta")
        with FlopCounterMode(display=False) as counter:
            stab(frames, layout)
        modules = {module: sum(flops.values()) / 2e9 for module, flops in counter.get_flop_counts().items()}
        counts[name] = {part: modules[f"STAB{part}"] for part in ("", ".local_encoding", ".video_aggregator")}
    print(counts)
    full, before = counts["full"], counts["lsd_before_lste"]
    assert before[".local_encoding"] == pytest.approx(full[".local_encoding"] / 4)
    assert before[".video_aggregator"] < full[".video_aggregator"] / 2  # the feed-forward layer stays as it is
    saved = sum(full[part] - before[part] for part in (".local_encoding", ".video_aggregator"))
    assert before[""] == pytest.approx(full[""] - saved)


# Half the input resolution


def test_half_resolution_embeds_the_halved_frame():
    half, whole = HalfResolution(16, 3), PatchEmbedding(16, 3)
    half.load_state_dict(whole.state_dict())
    frames = torch.randn(2, 3, 12, 24)
    halved = F.interpolate(frames, scale_factor=0.5, mode="area")
    torch.testing.assert_close(half(frames), whole(halved))


@pytest.mark.parametrize("size", [(72, 72), (48, 72), (240, 320), (640, 360), (100, 700)])
def test_half_resolution_gives_the_tokens_of_the_full_model(size):
    computed = []
    for name in ("full", "half_resolution"):
        stab = STAB(width=16, patch_size=12, **VARIANTS[name])
        geometry = CanvasGeometry(canvas=144, patch_size=stab.patch_size, stride=stab.stride, fill=(0, 0, 0))
        fitted = geometry(np.full((2, *size, 3), 255, dtype=np.uint8))
        frames, rectangle = fitted.frames, fitted.rectangle
        layout = stab.layout(VideoShapes(torch.tensor([2]), rectangle.expand(2, 4), geometry.patches))
        # The rectangle is where the picture is, in pixels.
        assert (frames[inside(rectangle.tolist(), stab.patch_size)] == 255).all()
        assert frames.sum() == 255 * 2 * 3 * rectangle[2] * rectangle[3] * stab.patch_size**2
        computed.append((frames, layout.token_counts, layout.order))
    (frames, counts, order), (half_frames, half_counts, half_order) = computed
    assert torch.equal(frames, half_frames)
    assert half_counts == counts
    assert torch.equal(half_order, order)


def test_half_resolution_needs_the_canvas_of_the_full_model():
    stab = build(**VARIANTS["half_resolution"])
    with pytest.raises(ValueError, match="canvas is 6; this encoder needs a multiple of 4"):
        CanvasGeometry(canvas=6, patch_size=stab.patch_size, stride=stab.stride, fill=(0, 0, 0))
    frames, shapes = clips(2)
    with pytest.raises(ValueError, match="not whole patches of 4 x 4"):
        stab(frames[..., 2:], stab.layout(shapes))


def test_half_resolution_keeps_padding_out_of_patches():
    stab = build(**VARIANTS["half_resolution"], **REMOVALS["no_gstra_no_lste"])
    frames, _ = clips(4, patch_size=4)
    changed = torch.randn_like(frames)
    picture = inside(patch_size=4)
    changed[picture] = frames[picture]
    assert torch.equal(*(tokens_of(stab, pixels, shared(RECTANGLE))[0] for pixels in (frames, changed)))


# Perceiver resampler and learned query


def test_perceiver_resampler_equals_its_definition():
    torch.manual_seed(0)
    resampler = PerceiverResampler(24, heads=4, layers=3, latents=9).double()
    for parameter in resampler.parameters():
        nn.init.normal_(parameter, std=0.3)
    sizes = [4, 1, 6]
    windows = torch.randn(sum(sizes), 4, 24, dtype=torch.float64)
    expected = []
    for frame in windows.split(sizes):
        tokens, latents = frame.flatten(0, 1), resampler.latents[: len(frame)]
        for layer in resampler.layers:
            asking = layer.latent_norm(latents)
            keys, values = layer.key_value(torch.cat([layer.token_norm(tokens), asking])).chunk(2, -1)
            heads = [
                ((q @ k.T) * 6**-0.5).softmax(-1) @ v
                for q, k, v in zip(*(x.chunk(4, -1) for x in (layer.query(asking), keys, values)), strict=True)
            ]
            latents = latents + layer.output(torch.cat(heads, -1))
            latents = latents + layer.feed_forward(latents)
        expected.append(resampler.norm(latents))
    computed = resampler(windows, Groups.of_sizes(torch.tensor(sizes)))
    torch.testing.assert_close(computed, torch.cat(expected))


def test_perceiver_resampler_gives_the_tokens_of_the_full_model_and_no_place():
    frames, shapes = clips(3, 1)
    full, variant = build(), build(downsampling=PerceiverResampler)
    assert variant.layout(shapes).token_counts == full.layout(shapes).token_counts
    # Patches may change places within their frame without any effect on it.
    stab = build(**REMOVALS["no_gstra_no_lste"] | {"downsampling": PerceiverResampler})
    shapes = shared((0, 0, *CANVAS))
    frames = torch.cat([frames[:3], frames[:1].roll((PATCH, 3 * PATCH), (2, 3))])
    tokens = tokens_of(stab, frames, shapes)[0].unflatten(0, (4, -1))
    torch.testing.assert_close(tokens[0], tokens[3])
    assert (tokens[0] - tokens[1]).abs().max() > 1e-3


@pytest.mark.parametrize("setting", [{"heads": 5}, {"heads": 0}, {"layers": 0}, {"latents": 0}, {"stride": 0}])
def test_impossible_resamplers_are_refused(setting):
    with pytest.raises(ValueError, match=f"{next(iter(setting))}: {next(iter(setting.values()))}"):
        PerceiverResampler(24, **setting)


def test_a_frame_with_more_windows_than_latents_is_refused():
    stab = build(downsampling=partial(PerceiverResampler, latents=11))
    frames, _ = clips(4)
    with pytest.raises(ValueError, match=r"downsampling\.init_args\.latents to 12"):
        tokens_of(stab, frames, shared((0, 0, *CANVAS)))


def test_the_learned_query_is_the_same_for_every_window():
    torch.manual_seed(0)
    lsd = LearnedQueryLSD(24, heads=4).double()
    windows = torch.randn(5, 4, 24, dtype=torch.float64)
    query = lsd.query.expand(5, 1, -1)
    expected = (query + plain_attention(lsd.attention, query, windows))[:, 0]
    torch.testing.assert_close(lsd(windows, Groups.of_sizes(torch.tensor([2, 3]))), expected)
    with pytest.raises(ValueError, match="stride: 0"):
        LearnedQueryLSD(24, stride=0)
