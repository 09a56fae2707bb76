"""The masked canvas: what is outside the picture is as good as not there."""

from functools import partial

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from components.stab import (
    LSTE,
    BeforeLocalEncoding,
    MaskedGSTRA,
    MaskedLSTE,
    NoLocalEncoding,
    NoPositionEncoding,
    PerceiverResampler,
    WholeVideo,
)
from tests.components.small_stab import CANVAS, MASKED, build, clips, tokens_of
from tests.components.stab.test_stab_variants import RECTANGLE, inside, shared


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
