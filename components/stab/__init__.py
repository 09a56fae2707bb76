"""Parts of the Spatio-Temporal Alignment Block, one slot of `STAB` each; importing this makes their names known."""

from components.stab.base import (
    ContextFusion,
    FrameAggregator,
    LocalEncoding,
    PositionEncoding,
    RowTokens,
    SpatialDownsampling,
    VideoAggregator,
)
from components.stab.downsampling import LSD, AveragePool
from components.stab.frame_aggregator import FSRA, NoFrameAggregator
from components.stab.fusion import FrameOnly, LearnedFusion, NoContext, VideoOnly
from components.stab.local_encoding import LSTE, DynamicPositionEncoding, NoLocalEncoding, NoPositionEncoding
from components.stab.patch_embedding import PatchEmbedding
from components.stab.row_tokens import LearnedRowTokens, NoRowTokens
from components.stab.video_aggregator import GSTRA, NoVideoAggregator

__all__ = [
    "FSRA",
    "GSTRA",
    "LSD",
    "LSTE",
    "AveragePool",
    "ContextFusion",
    "DynamicPositionEncoding",
    "FrameAggregator",
    "FrameOnly",
    "LearnedFusion",
    "LearnedRowTokens",
    "LocalEncoding",
    "NoContext",
    "NoFrameAggregator",
    "NoLocalEncoding",
    "NoPositionEncoding",
    "NoRowTokens",
    "NoVideoAggregator",
    "PatchEmbedding",
    "PositionEncoding",
    "RowTokens",
    "SpatialDownsampling",
    "VideoAggregator",
    "VideoOnly",
]
