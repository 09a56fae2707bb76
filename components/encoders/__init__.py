"""Video encoders: the family `encoders`."""

from components.encoders.base import TokenLayout, VideoEncoder, VideoShapes
from components.encoders.clip_frames import CLIPFrames
from components.encoders.languagebind_video import LanguageBindVideo
from components.encoders.stab import EVE, STAB

__all__ = ["EVE", "STAB", "CLIPFrames", "LanguageBindVideo", "TokenLayout", "VideoEncoder", "VideoShapes"]
