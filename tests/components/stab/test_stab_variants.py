"""What each variant of STAB does differently and what it leaves: connection, chunking, fusion, and all of them.

The variants of downsampling and the masked canvas have files of their own.
"""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from components.encoders import STAB, VideoShapes
from components.official import load_official
from components.projectors import MLPProjector
from components.stab import (
    LSTE,
    AveragePool,
    FixedFusion,
    LearnedFusion,
    NoDenseConnection,
    NoLocalEncoding,
    NoPositionEncoding,
    SumFusion,
    WholeVideo,
)
from tests.components.small_stab import CANVAS, PATCH, REMOVALS, VARIANTS, build, clips, tokens_of
from tests.golden_formula import weights

ROOT = Path(__file__).parents[3]
RECTANGLE = (2, 2, 4, 4)  # top, left, height, width in patches


def shared(rectangle, frames=4, canvas=CANVAS):
    """One clip whose frames all show the same rectangle."""
    return VideoShapes(torch.tensor([frames]), torch.tensor(rectangle).expand(frames, 4), canvas)


def inside(rectangle=RECTANGLE, patch_size=PATCH):
    """The pixels of a rectangle."""
    top, left, height, width = (side * patch_size for side in rectangle)
    return (..., slice(top, top + height), slice(left, left + width))


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
    computed = tokens_of(build(chunking=WholeVideo), frames, shapes)
    expected = tokens_of(build(chunk_frames=17), frames, shapes)  # more than half of any clip: one chunk each
    for ours, theirs in zip(computed, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    # A change in the first frame reaches the context of the last one, which chunks prevent.
    changed = frames.clone()
    changed[0] += 1
    for chunking, reaches in ((WholeVideo, True), (None, False)):
        stab = build(**{"chunking": chunking} if chunking else {})
        before, after = (tokens_of(stab, pixels, shapes)[0] for pixels in (frames, changed))
        first_of_last = -int(stab.layout(shapes).frames.occupied[8].sum()) - int(shapes.rectangles[8, 2] // 2) - 1
        assert ((before - after)[first_of_last].abs().max() > 1e-6) == reaches


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
    computed = []
    for encoder in (build(), build(**VARIANTS[variant])):
        rectangle = torch.tensor(RECTANGLE) * PATCH // encoder.patch_size
        canvas = tuple(side * PATCH // encoder.patch_size for side in CANVAS)
        computed += tokens_of(encoder, frames, shared(rectangle.tolist(), frames=9, canvas=canvas))
    assert computed[0].shape == computed[1].shape
    assert (computed[0] - computed[1]).abs().max() > 1e-3


COMPILED = """
import json, sys, traceback, torch
root, *variants = sys.argv[1:]
sys.path.insert(0, root)
from tests.components.small_stab import VARIANTS, build, clips
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


@pytest.mark.long
@pytest.mark.xdist_group("compiled variants")
@pytest.mark.parametrize("variant", list(VARIANTS)[1:])  # the full model has a test of its own
def test_a_variant_compiles_without_graph_breaks(compiled, variant):
    assert isinstance(compiled[variant], float), compiled[variant]
    assert compiled[variant] < 1e-9
