"""Parts of the Spatio-Temporal Alignment Block, one slot of `STAB` each; importing this makes their names known."""

from components.stab.base import (
    Chunking,
    Connection,
    ContextFusion,
    DownsamplingPlacement,
    FrameAggregator,
    LocalEncoding,
    NormalisationStatistics,
    PositionEncoding,
    RowTokens,
    SpatialDownsampling,
    VideoAggregator,
)
from components.stab.chunking import EqualChunks, OfficialChunks, WholeVideo
from components.stab.downsampling import LSD, AveragePool, LearnedQueryLSD, NoDownsampling
from components.stab.frame_aggregator import FSRA, NoFrameAggregator
from components.stab.fusion import BareFrame, FixedFusion, FrameOnly, LearnedFusion, NoContext, SumFusion, VideoOnly
from components.stab.local_encoding import (
    LSTE,
    DenseConnection,
    DynamicPositionEncoding,
    NoDenseConnection,
    NoLocalEncoding,
    NoPositionEncoding,
)
from components.stab.masked import MaskedGSTRA, MaskedLSTE
from components.stab.patch_embedding import HalfResolution, PatchEmbedding
from components.stab.perceiver_resampler import PerceiverResampler
from components.stab.placement import AfterLocalEncoding, BeforeLocalEncoding
from components.stab.row_tokens import LearnedRowTokens, NoRowTokens
from components.stab.statistics import BatchStatistics, ClipStatistics, FrozenStatistics
from components.stab.video_aggregator import GSTRA, NoVideoAggregator

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
