"""Parts of the Spatio-Temporal Alignment Block (paper section 3.1), one file for each slot of `STAB`.

A file has the interface of its slot and the parts that fill it. A constructor takes the arguments that the block passes
to every part of the slot, the width first, and then its own settings, which are set in YAML. An absent part is a class
without parameters (`NoLocalEncoding`, ...).

Legend of shapes: "frames" are all frames of the batch, "video_frames" those of videos, which are all clips but images.
"rows columns" are those of the grid that local encoding reads: of patches, or of windows if these are merged before it.
"""

from components.stab.chunking import Chunking, EqualChunks, OfficialChunks, WholeVideo
from components.stab.downsampling import LSD, AveragePool, LearnedQueryLSD, NoDownsampling, SpatialDownsampling
from components.stab.frame_aggregator import FSRA, FrameAggregator, NoFrameAggregator
from components.stab.fusion import (
    BareFrame,
    ContextFusion,
    FixedFusion,
    FrameOnly,
    LearnedFusion,
    NoContext,
    SumFusion,
    VideoOnly,
)
from components.stab.local_encoding import (
    LSTE,
    Connection,
    DenseConnection,
    LocalEncoding,
    MaskedLSTE,
    NoDenseConnection,
    NoLocalEncoding,
)
from components.stab.patch_embedding import HalfResolution, PatchEmbedding
from components.stab.perceiver_resampler import PerceiverResampler
from components.stab.placement import AfterLocalEncoding, BeforeLocalEncoding, DownsamplingPlacement
from components.stab.position_encoding import DynamicPositionEncoding, NoPositionEncoding, PositionEncoding
from components.stab.row_tokens import LearnedRowTokens, NoRowTokens, RowTokens
from components.stab.statistics import BatchStatistics, ClipStatistics, FrozenStatistics, NormalisationStatistics
from components.stab.video_aggregator import GSTRA, MaskedGSTRA, NoVideoAggregator, VideoAggregator

__all__ = [
    "FSRA",
    "GSTRA",
    "LSD",
    "LSTE",
    "AfterLocalEncoding",
    "AveragePool",
    "BareFrame",
    "BatchStatistics",
    "BeforeLocalEncoding",
    "Chunking",
    "ClipStatistics",
    "Connection",
    "ContextFusion",
    "DenseConnection",
    "DownsamplingPlacement",
    "DynamicPositionEncoding",
    "EqualChunks",
    "FixedFusion",
    "FrameAggregator",
    "FrameOnly",
    "FrozenStatistics",
    "HalfResolution",
    "LearnedFusion",
    "LearnedQueryLSD",
    "LearnedRowTokens",
    "LocalEncoding",
    "MaskedGSTRA",
    "MaskedLSTE",
    "NoContext",
    "NoDenseConnection",
    "NoDownsampling",
    "NoFrameAggregator",
    "NoLocalEncoding",
    "NoPositionEncoding",
    "NoRowTokens",
    "NoVideoAggregator",
    "NormalisationStatistics",
    "OfficialChunks",
    "PatchEmbedding",
    "PerceiverResampler",
    "PositionEncoding",
    "RowTokens",
    "SpatialDownsampling",
    "SumFusion",
    "VideoAggregator",
    "VideoOnly",
    "WholeVideo",
]
