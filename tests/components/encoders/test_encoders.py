"""The encoders of the paper's baselines: tokens and their order, packing, training, compilation, what is refused."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from components.encoders import EVE, CLIPFrames, LanguageBindVideo, VideoShapes
from components.official import load_official
from components.projectors import LinearProjector, MLPProjector
from components.stab import AveragePool, NoRowTokens
from components.vision_transformers import CLIPViT, LanguageBindViT
from tests.golden_formula import normal, read_arrays, read_json, weights

ROOT = Path(__file__).parents[3]
WIDTH, PATCH, SIDE = 32, 2, 6
SMALL = {"image_size": PATCH * SIDE, "layers": 2, "heads": 4}
ENCODERS = {
    "eve": EVE,
    "clip_frames": partial(CLIPFrames, tower=partial(CLIPViT, **SMALL)),
    "languagebind_video": partial(LanguageBindVideo, tower=partial(LanguageBindViT, **SMALL)),
}


def build(name):
    torch.manual_seed(0)
    return ENCODERS[name](width=WIDTH, patch_size=PATCH).double().eval()


def clips(*frame_counts, seed=0):
    """Random frames for clips of different rectangles; the frames of a clip share one, as in the data."""
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randn(sum(frame_counts), 3, SIDE * PATCH, SIDE * PATCH, dtype=torch.float64, generator=generator)
    extent = 2 + (torch.rand(len(frame_counts), 2, generator=generator) * (SIDE - 1)).long()
    corner = (torch.rand(len(frame_counts), 2, generator=generator) * (SIDE - extent + 1)).long()
    counts = torch.tensor(frame_counts)
    return frames, VideoShapes(counts, torch.cat([corner, extent], 1).repeat_interleave(counts, 0), (SIDE, SIDE))


def square(*frame_counts, side=SIDE):
    counts = torch.tensor(frame_counts)
    return VideoShapes(counts, torch.tensor([0, 0, side, side]).expand(int(counts.sum()), 4), (side, side))


def tokens_of(encoder, frames, shapes):
    layout = encoder.layout(shapes)
    return encoder(frames, layout)[layout.order].split(list(layout.token_counts))


@pytest.mark.parametrize("name", ENCODERS)
def test_batch_equals_each_clip_alone(name):
    encoder = build(name)
    counts = (5, 1, 2, 3, 8, 1)
    frames, shapes = clips(*counts)
    together = tokens_of(encoder, frames, shapes)
    for clip, (pixels, rectangles) in enumerate(
        zip(frames.split(counts), shapes.rectangles.split(counts), strict=True)
    ):
        (alone,) = tokens_of(encoder, pixels, VideoShapes(torch.tensor([counts[clip]]), rectangles, (SIDE, SIDE)))
        torch.testing.assert_close(together[clip], alone, atol=1e-12, rtol=0)


def test_a_frame_of_eve_is_an_image():
    encoder = build("eve")
    frames, shapes = clips(4, 3)
    as_images = VideoShapes(torch.ones(7, dtype=torch.int64), shapes.rectangles, shapes.canvas)
    together, alone = (torch.cat(tokens_of(encoder, frames, layout)) for layout in (shapes, as_images))
    torch.testing.assert_close(together, alone, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("frames_per_clip", "name"), [(1, "one frame each"), (2, "both in one clip")])
def test_eve_gives_the_official_numbers_of_images(frames_per_clip, name):
    case, arrays = read_json("stab_video.json")["cases"]["image"], read_arrays("stab_video.npz")
    state_dict = weights("video_tokenizer") | weights("video_projector", "video_projector.")
    encoder, projector = EVE().eval(), MLPProjector(1024, len(state_dict["video_projector.0.bias"]))
    report = load_official(encoder, projector, state_dict)
    of_absent_parts = ("dec.", "proj.", "dpe.", "lmhra1.", "balance", "temporal_cls_token")
    assert all(key.startswith(of_absent_parts) for key in report.absent)
    frames = normal("stab/image/pixels", (2, 3, case["H"], case["W"]))
    boxes = [[edge // 14 for edge in case["boxes"][str(frame)]] for frame in range(2)]
    rectangles = torch.tensor([[y0, x0, y1 - y0, x1 - x0] for y0, y1, x0, x1 in boxes])
    counts = torch.full((2 // frames_per_clip,), frames_per_clip)
    layout = encoder.layout(VideoShapes(counts, rectangles, (case["H"] // 14, case["W"] // 14)))
    with torch.no_grad():
        features = encoder(frames, layout)
        computed = {"identity": features[layout.order], "mlp": projector(features)[layout.order]}
    computed["fsra_token"] = features[:2]
    differences = {key: float(abs(ours.numpy() - arrays[f"image/{key}"]).max()) for key, ours in computed.items()}
    print(f"\n{name}:", {key: f"{difference:.1e}" for key, difference in differences.items()})
    assert max(differences.values()) < 1e-5, differences


def test_eve_keeps_the_slots_that_it_has():
    encoder = EVE(width=WIDTH, patch_size=PATCH, downsampling=AveragePool, row_tokens=NoRowTokens)
    layout = encoder.layout(square(2))
    assert layout.token_counts == (2 * (1 + 9),)


def test_clip_frames_averages_over_space_and_over_time():
    encoder = build("clip_frames")
    frames, shapes = clips(3, 2)
    layout = encoder.layout(shapes)
    patches = encoder.tower(frames, layout.clips)[:, 1:].unflatten(1, (SIDE, SIDE))
    for clip, (tokens, of_clip) in enumerate(
        zip(tokens_of(encoder, frames, shapes), patches.split([3, 2]), strict=True)
    ):
        top, left, height, width = shapes.rectangles[3 * clip]
        shown = of_clip[:, top : top + height, left : left + width]
        expected = torch.cat([shown.mean((1, 2)), shown.mean(0).flatten(0, 1)])
        torch.testing.assert_close(tokens, expected, atol=1e-12, rtol=0)


def test_clip_frames_with_rectangles_that_differ_within_a_clip():
    encoder = build("clip_frames")
    frames = clips(2)[0]
    rectangles = torch.tensor([[0, 0, 2, 3], [1, 0, 2, 3]])
    shapes = VideoShapes(torch.tensor([2]), rectangles, (SIDE, SIDE))
    layout = encoder.layout(shapes)
    (tokens,) = tokens_of(encoder, frames, shapes)
    first, second = encoder.tower(frames, layout.clips)[:, 1:].unflatten(1, (SIDE, SIDE))[:, :, :3]
    expected = [first[:2].mean((0, 1))[None], second[1:3].mean((0, 1))[None]]
    expected += [first[0], (first[1] + second[1]) / 2, second[2]]  # each row over the frames that show it
    torch.testing.assert_close(tokens, torch.cat(expected), atol=1e-12, rtol=0)


def test_languagebind_video_keeps_class_tokens_and_the_patches_that_show_the_clip():
    encoder = build("languagebind_video")
    frames, shapes = clips(3, 2)
    layout = encoder.layout(shapes)
    hidden = encoder.tower(frames, layout.clips)
    expected = []
    for tokens, (top, left, height, width) in zip(hidden, shapes.rectangles.tolist(), strict=True):
        grid = tokens[1:].unflatten(0, (SIDE, SIDE))[top : top + height, left : left + width]
        expected += [tokens[:1], grid.flatten(0, 1)]
    torch.testing.assert_close(torch.cat(tokens_of(encoder, frames, shapes)), torch.cat(expected), atol=0, rtol=0)


@pytest.mark.parametrize(
    ("encoder", "frames", "tokens"),
    [(CLIPFrames, 100, 356), (LanguageBindVideo, 8, 2056)],
    ids=["clip", "languagebind"],
)
def test_token_counts_of_the_originals(encoder, frames, tokens):
    with torch.device("meta"):
        built = encoder()
    assert built.canvas == 224
    layout = built.layout(square(frames, side=16))
    assert layout.token_counts == (tokens,) and len(layout.order) == tokens


@pytest.mark.parametrize("name", ENCODERS)
def test_forward_reads_nothing_back_from_the_device(name):
    encoder = build(name)
    frames, shapes = clips(5, 1)
    layout = encoder.layout(shapes)
    features = encoder.to("meta")(frames.to("meta"), layout.to("meta"))
    assert features.device.type == "meta"
    assert len(features) == int(layout.order.max()) + 1


@pytest.mark.parametrize("name", ENCODERS)
def test_a_step_moves_every_parameter(name):
    torch.manual_seed(0)
    encoder = ENCODERS[name](width=WIDTH, patch_size=PATCH)
    projector = (LinearProjector if name == "clip_frames" else MLPProjector)(WIDTH, 16)
    modules = torch.nn.ModuleList([encoder, projector])
    frames, shapes = clips(4, 2, 1)
    target = torch.randn(len(encoder.layout(shapes).order), 16)
    optimizer = torch.optim.SGD(modules.parameters(), lr=1e-2)

    def loss():
        layout = encoder.layout(shapes)
        return (projector(encoder(frames.float(), layout))[layout.order] - target).square().mean()

    before = loss()
    before.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in modules.parameters())
    optimizer.step()
    assert loss() < before


@pytest.mark.parametrize("name", ENCODERS)
def test_bfloat16_autocast_is_close(name):
    encoder = build(name).float()
    frames, shapes = clips(5, 1, 4)
    layout = encoder.layout(shapes)
    with torch.no_grad():
        exact = encoder(frames.float(), layout)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = encoder(frames.float(), layout)
    assert (exact - rounded).abs().max() < 0.05 * exact.abs().max()


COMPILED = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from tests.components.encoders.test_encoders import ENCODERS, build, clips
for name in ENCODERS:
    encoder = build(name)
    compiled = torch.compile(encoder, fullgraph=True, backend="aot_eager")
    for counts in ((8, 1, 5), (4, 3, 1, 2)):
        frames, shapes = clips(*counts)
        layout = encoder.layout(shapes)
        with torch.no_grad():
            print(float((compiled(frames, layout) - encoder(frames, layout)).abs().max()))
"""


@pytest.mark.long
def test_compiles_without_graph_breaks():
    done = subprocess.run([sys.executable, "-c", COMPILED, ROOT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    differences = [float(line) for line in done.stdout.split()]
    assert len(differences) == 2 * len(ENCODERS)
    assert max(differences) < 1e-9


WITH_TOWER = ["clip_frames", "languagebind_video"]


@pytest.mark.parametrize("name", WITH_TOWER)
@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (square(2, side=4), "data.init_args.canvas to 12"),
        (VideoShapes(torch.tensor([2]), torch.tensor([[0, 0, 6, 6]]), (6, 6)), "2.* and 1 rectangles"),
        (VideoShapes(torch.tensor([0]), torch.empty(0, 4, dtype=torch.int64), (6, 6)), "at least one frame"),
        (VideoShapes(torch.tensor([1]), torch.tensor([[0, 1, 6, 6]]), (6, 6)), "leaves the canvas of 6 x 6"),
        (VideoShapes(torch.tensor([1]), torch.tensor([[0, 0, 0, 6]]), (6, 6)), "empty"),
        (VideoShapes(torch.tensor([1]), torch.tensor([[-1, 0, 2, 2]]), (6, 6)), "leaves the canvas"),
    ],
)
def test_shapes_that_make_no_sense_are_refused(name, shapes, message):
    with pytest.raises(ValueError, match=message):
        build(name).layout(shapes)


@pytest.mark.parametrize("name", WITH_TOWER)
def test_frames_of_another_size_are_refused(name):
    encoder = build(name)
    with pytest.raises(ValueError, match=r"frames of 8 x 8 pixels, but \w+ takes 12 x 12"):
        encoder(torch.zeros(2, 3, 8, 8, dtype=torch.float64), encoder.layout(square(2)))


def test_a_clip_that_is_too_long_is_refused():
    encoder = build("languagebind_video")
    frames, shapes = clips(9, 1)
    with pytest.raises(ValueError, match="a clip has 9 frames, but the tower has time embeddings for 8"):
        encoder(frames, encoder.layout(shapes))
