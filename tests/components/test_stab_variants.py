"""What each variant of STAB does differently, and what it leaves as it is."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.plain_stab import plain_attention
from components.encoders import STAB, VideoShapes
from components.official import load_official
from components.projectors import MLPProjector
from components.stab import (
    LSD,
    LSTE,
    AveragePool,
    BeforeLocalEncoding,
    FixedFusion,
    HalfResolution,
    LearnedFusion,
    LearnedQueryLSD,
    MaskedGSTRA,
    MaskedLSTE,
    NoDenseConnection,
    NoLocalEncoding,
    NoPositionEncoding,
    PatchEmbedding,
    PerceiverResampler,
    SumFusion,
    WholeVideo,
)
from components.stab.groups import Groups
from datamodules.video.geometry import CanvasGeometry
from tests.components.test_stab import CANVAS, MASKED, PATCH, REMOVALS, VARIANTS, WIDTH, build, clips, tokens_of
from tests.golden_formula import weights

ROOT = Path(__file__).parents[2]
RECTANGLE = (2, 2, 4, 4)  # top, left, height, width in patches


def shared(rectangle, frames=4, canvas=CANVAS):
    """One clip whose frames all show the same rectangle."""
    return VideoShapes(torch.tensor([frames]), torch.tensor(rectangle).expand(frames, 4), canvas)


def inside(rectangle=RECTANGLE, patch_size=PATCH):
    """The pixels of a rectangle."""
    top, left, height, width = (side * patch_size for side in rectangle)
    return (..., slice(top, top + height), slice(left, left + width))


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
    found = []
    for name in ("full", "half_resolution"):
        stab = STAB(width=16, patch_size=12, **VARIANTS[name])
        geometry = CanvasGeometry(canvas=144, patch_size=stab.patch_size, stride=stab.stride, fill=(0, 0, 0))
        frames, rectangle = geometry(np.full((2, *size, 3), 255, dtype=np.uint8))
        layout = stab.layout(VideoShapes(torch.tensor([2]), rectangle.expand(2, 4), geometry.patches))
        # The rectangle is where the picture is, in pixels.
        assert (frames[inside(rectangle.tolist(), stab.patch_size)] == 255).all()
        assert frames.sum() == 255 * 2 * 3 * rectangle[2] * rectangle[3] * stab.patch_size**2
        found.append((frames, layout.token_counts, layout.order))
    (frames, counts, order), (half_frames, half_counts, half_order) = found
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
    found = resampler(windows, Groups.of_sizes(torch.tensor(sizes)))
    torch.testing.assert_close(found, torch.cat(expected))


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


# Connection and chunking


def test_without_the_dense_connection_the_encoded_patches_stand_alone():
    frames, shapes = clips(5, 1)
    # Before training, and without position, LSTE returns its input: connected, that is twice the patches.
    lste = {"position_encoding": NoPositionEncoding}
    contexts = REMOVALS["no_gstra"] | {"downsampling": AveragePool}
    seen = {}
    for name, local_encoding in {
        "none": NoLocalEncoding,
        "alone": partial(LSTE, **lste, connection=NoDenseConnection),
        "dense": partial(LSTE, **lste),
    }.items():
        torch.manual_seed(0)
        stab = build(local_encoding=local_encoding, **contexts)
        if name != "none":
            nn.init.zeros_(stab.local_encoding.expand.weight)
            nn.init.zeros_(stab.local_encoding.expand.bias)
        layout = stab.layout(shapes)
        features = stab(frames, layout)[len(frames) : -1]  # the windows
        seen[name] = features.split([int((layout.frames.group < 5).sum()), int((layout.frames.group == 5).sum())])
    (none, image), (alone, alone_image), (dense, dense_image) = seen.values()
    torch.testing.assert_close(alone, none)
    torch.testing.assert_close(dense, 2 * none)
    assert torch.equal(image, alone_image) and torch.equal(image, dense_image)


def test_the_whole_video_is_one_chunk():
    counts = (9, 1, 17, 2)
    frames, shapes = clips(*counts)
    found = tokens_of(build(chunking=WholeVideo), frames, shapes)
    expected = tokens_of(build(chunk_frames=17), frames, shapes)  # more than half of any clip: one chunk each
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    # A change in the first frame reaches the context of the last one, which chunks prevent.
    changed = frames.clone()
    changed[0] += 1
    for chunking, reaches in ((WholeVideo, True), (None, False)):
        stab = build(**{"chunking": chunking} if chunking else {})
        before, after = (tokens_of(stab, pixels, shapes)[0] for pixels in (frames, changed))
        first_of_last = -int(stab.layout(shapes).frames.occupied[8].sum()) - int(shapes.rectangles[8, 2] // 2) - 1
        assert ((before - after)[first_of_last].abs().max() > 1e-6) == reaches


# Masked canvas


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "slots",
    [{}, {"downsampling_placement": BeforeLocalEncoding}, {"downsampling": PerceiverResampler}],
    ids=["after", "before", "perceiver"],
)
def test_a_masked_canvas_ends_where_the_picture_does(slots, training):
    masked = build(**MASKED, **slots, dropout=0.0).train(training)
    plain = build(**slots, dropout=0.0).train(training)
    frames, _ = clips(8)
    ours = tokens_of(masked, frames, shared(RECTANGLE, frames=8))[0]
    theirs = tokens_of(plain, frames[inside()], shared((0, 0, 4, 4), frames=8, canvas=(4, 4)))[0]
    torch.testing.assert_close(ours, theirs)
    for name, statistic in plain.local_encoding.norm.named_buffers():
        torch.testing.assert_close(masked.local_encoding.norm.get_buffer(name), statistic)
    # The model that sees padding gives something else.
    assert (tokens_of(build(**slots), frames, shared(RECTANGLE, frames=8))[0] - ours).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("slots", "leaks"),
    [
        (MASKED, False),
        (MASKED | {"downsampling_placement": BeforeLocalEncoding}, False),
        (MASKED | {"chunking": WholeVideo}, False),
        ({"local_encoding": MaskedLSTE}, False),  # what GSTRA then sees of padding is zero, whatever is in it
        ({"local_encoding": NoLocalEncoding, "video_aggregator": MaskedGSTRA}, False),
        ({"video_aggregator": MaskedGSTRA}, True),  # through the convolutions of LSTE
        (
            {"local_encoding": partial(LSTE, position_encoding=NoPositionEncoding), "video_aggregator": MaskedGSTRA},
            False,
        ),
    ],
)
@pytest.mark.parametrize("rectangle", [RECTANGLE, (1, 2, 5, 5)])
def test_masked_pixels_are_never_seen(slots, leaks, rectangle):
    stab = build(**slots)
    frames, _ = clips(8)
    changed = torch.randn_like(frames)
    changed[inside(rectangle)] = frames[inside(rectangle)]
    before, after = (tokens_of(stab, pixels, shared(rectangle, frames=8))[0] for pixels in (frames, changed))
    assert torch.equal(before, after) != leaks

    pixels = frames.requires_grad_()
    tokens_of(stab, pixels, shared(rectangle, frames=8))[0].square().sum().backward()
    gradient = pixels.grad.clone()
    assert (gradient[inside(rectangle)] != 0).any()
    gradient[inside(rectangle)] = 0
    assert (gradient == 0).all() != leaks


def test_masked_parts_compute_the_same_on_a_full_canvas_with_fewer_operations_otherwise():
    frames, _ = clips(8)
    whole = shared((0, 0, *CANVAS), frames=8)
    torch.testing.assert_close(tokens_of(build(**MASKED), frames, whole)[0], tokens_of(build(), frames, whole)[0])
    flops = []
    for slots in ({}, MASKED):
        stab = build(**slots)
        layout = stab.layout(shared((0, 0, 2, 8), frames=8))
        with FlopCounterMode(display=False) as counter:
            encoded = stab.local_encoding(stab.patch_embedding(frames), layout.chunks, layout.valid)
        flops.append(counter.get_total_flops())
    assert flops[1] < flops[0] * 0.6
    assert (encoded[:, :2] != 0).all() and (encoded[:, 2:] == 0).all(), "padding comes out as zeros"


def test_a_batch_of_images_leaves_masked_statistics_alone():
    stab = build(**MASKED).train()
    frames, shapes = clips(1, 1)
    before = stab.local_encoding.norm.running_mean.clone()
    assert all(tokens.isfinite().all() for tokens in tokens_of(stab, frames, shapes))
    assert torch.equal(stab.local_encoding.norm.running_mean, before)


# Fusion


def test_fixed_fusion_is_the_learned_one_before_it_learns():
    torch.manual_seed(0)
    learned, fixed = LearnedFusion(16).eval(), FixedFusion(16).eval()
    fixed.projection.load_state_dict(learned.projection.state_dict())
    frame, video, videos = torch.randn(3, 16), torch.randn(2, 16), torch.tensor([0, 2])
    torch.testing.assert_close(fixed(frame, video, videos), learned(frame, video, videos))
    tilted = FixedFusion(16, frame_weight=0.8).eval()
    tilted.projection.load_state_dict(learned.projection.state_dict())
    expected = learned.projection(0.8 * frame[videos] + 0.2 * video)
    torch.testing.assert_close(tilted(frame, video, videos)[videos], expected)
    for weight in (0.0, 1.0, -1.0):
        with pytest.raises(ValueError, match=f"frame_weight: {weight} is not between 0 and 1"):
            FixedFusion(16, frame_weight=weight)


def test_sum_fusion_adds():
    frame, video, videos = torch.randn(3, 16), torch.randn(2, 16), torch.tensor([0, 2])
    expected = torch.stack([frame[0] + video[0], frame[1], frame[2] + video[1]])
    torch.testing.assert_close(SumFusion(16)(frame, video, videos), expected)
    # Why it has no f_proj: of a sum that makes what it makes of the mean.
    projection = FixedFusion(16).projection.eval()
    total = frame[videos] + video
    torch.testing.assert_close(projection(total), projection(total / 2), atol=1e-3, rtol=0)


# All


@pytest.mark.parametrize("variant", ["lsd_before_lste", "no_dense_connection", "whole_video", "masked_canvas"])
def test_official_weights_fit_a_variant_that_keeps_all_parts(variant, official):
    report = load_official(STAB(**VARIANTS[variant]), MLPProjector(1024, 256), official)
    assert report.absent == ()


@pytest.fixture(scope="module")
def official():
    return weights("video_tokenizer") | weights("video_projector", "video_projector.")


@pytest.mark.parametrize("variant", list(VARIANTS)[len(REMOVALS) :])
def test_a_variant_differs_from_the_full_model(variant):
    frames, _ = clips(9)
    found = []
    for encoder in (build(), build(**VARIANTS[variant])):
        rectangle = torch.tensor(RECTANGLE) * PATCH // encoder.patch_size
        canvas = tuple(side * PATCH // encoder.patch_size for side in CANVAS)
        found += tokens_of(encoder, frames, shared(rectangle.tolist(), frames=9, canvas=canvas))
    assert found[0].shape == found[1].shape
    assert (found[0] - found[1]).abs().max() > 1e-3


COMPILED = """
import json, sys, traceback, torch
root, *variants = sys.argv[1:]
sys.path.insert(0, root)
from tests.components.test_stab import VARIANTS, build, clips
torch.set_num_threads(1)
for variant in variants:
    torch.compiler.reset()
    stab = build(**VARIANTS[variant])
    frames, shapes = clips(8, 1, 5, patch_size=stab.patch_size)
    layout = stab.layout(shapes)
    try:
        with torch.no_grad():
            compiled = torch.compile(stab, fullgraph=True, backend="aot_eager")(frames, layout)
            print(json.dumps([variant, float((compiled - stab(frames, layout)).abs().max())]))
    except Exception:
        print(json.dumps([variant, traceback.format_exc()[-3000:]]))
"""


@pytest.fixture(scope="module")
def compiled():
    """Variant -> largest difference between compiled and not, or what went wrong; one process for all saves minutes."""
    # A process of its own: run-time shape checks, if this suite runs with them, cannot be compiled.
    command = [sys.executable, "-c", COMPILED, str(ROOT), *list(VARIANTS)[1:]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.mark.xdist_group("compiled variants")
@pytest.mark.parametrize("variant", list(VARIANTS)[1:])  # the full model has a test of its own
def test_a_variant_compiles_without_graph_breaks(compiled, variant):
    assert isinstance(compiled[variant], float), compiled[variant]
    assert compiled[variant] < 1e-9
