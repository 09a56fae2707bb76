"""Video encoders: the family `encoders`."""

from components.encoders.base import TokenLayout, VideoEncoder, VideoShapes
from components.encoders.stab import STAB

__all__ = ["STAB", "TokenLayout", "VideoEncoder", "VideoShapes"]
