"""A small STAB with every ablation of its slots, and clips for it."""

import zlib
from functools import partial

import torch

from components.encoders import STAB, VideoShapes
from components.stab import (
    LSTE,
    AveragePool,
    BeforeLocalEncoding,
    FixedFusion,
    FrameOnly,
    HalfResolution,
    LearnedQueryLSD,
    MaskedGSTRA,
    MaskedLSTE,
    NoContext,
    NoDenseConnection,
    NoDownsampling,
    NoFrameAggregator,
    NoLocalEncoding,
    NoPositionEncoding,
    NoRowTokens,
    NoVideoAggregator,
    PerceiverResampler,
    SumFusion,
    VideoOnly,
    WholeVideo,
)

WIDTH, PATCH, CANVAS = 48, 2, (6, 8)


REMOVALS = {
    "full": {},
    "no_row_tokens": {"row_tokens": NoRowTokens},
    "no_fsra": {"frame_aggregator": NoFrameAggregator, "fusion": VideoOnly},
    "lsd_average_pool": {"downsampling": AveragePool},
    "no_lste": {"local_encoding": NoLocalEncoding},
    "no_gstra": {"video_aggregator": NoVideoAggregator, "fusion": FrameOnly},
    "no_gstra_no_lste": {
        "video_aggregator": NoVideoAggregator,
        "fusion": FrameOnly,
        "local_encoding": NoLocalEncoding,
    },
    "no_context": {
        "video_aggregator": NoVideoAggregator,
        "frame_aggregator": NoFrameAggregator,
        "fusion": NoContext,
    },
}


MASKED = {"local_encoding": MaskedLSTE, "video_aggregator": MaskedGSTRA}


VARIANTS = REMOVALS | {
    "lsd_before_lste": {"downsampling_placement": BeforeLocalEncoding},
    "half_resolution": {"patch_embedding": HalfResolution, "downsampling": NoDownsampling},
    "perceiver_resampler": {"downsampling": PerceiverResampler},
    "perceiver_before_lste": {"downsampling": PerceiverResampler, "downsampling_placement": BeforeLocalEncoding},
    "lsd_learned_query": {"downsampling": LearnedQueryLSD},
    "no_position_encoding": {"local_encoding": partial(LSTE, position_encoding=NoPositionEncoding)},
    "no_dense_connection": {"local_encoding": partial(LSTE, connection=NoDenseConnection)},
    "whole_video": {"chunking": WholeVideo},
    "masked_canvas": MASKED,
    "masked_canvas_before_lste": MASKED | {"downsampling_placement": BeforeLocalEncoding},
    "fusion_fixed": {"fusion": FixedFusion},
    "fusion_sum": {"fusion": SumFusion},
}


def build(**slots):
    """A small float64 STAB in eval mode; a parameter's numbers depend on its name alone, and none is special."""
    stab = STAB(width=WIDTH, patch_size=PATCH, **slots).double().eval()
    with torch.no_grad():
        for name, tensor in stab.state_dict().items():
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2, generator=generator)
            elif tensor.is_floating_point():
                tensor.normal_(1.0 if name.endswith("norm.weight") else 0.0, 0.3, generator=generator)
    return stab


def clips(*frame_counts, seed=0, patch_size=PATCH):
    """Random frames for clips that show different rectangles, also within a clip."""
    generator = torch.Generator().manual_seed(seed)
    count = sum(frame_counts)
    frames = torch.randn(count, 3, *(side * patch_size for side in CANVAS), dtype=torch.float64, generator=generator)
    size = torch.tensor(CANVAS)
    extent = 2 + (torch.rand(count, 2, generator=generator) * (size - 1)).long()
    corner = (torch.rand(count, 2, generator=generator) * (size - extent + 1)).long()
    return frames, VideoShapes(torch.tensor(frame_counts), torch.cat([corner, extent], 1), CANVAS)


def tokens_of(stab, frames, shapes):
    layout = stab.layout(shapes)
    tokens = stab(frames, layout)[layout.order]
    return tokens.split(list(layout.token_counts))
