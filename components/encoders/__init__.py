"""Video encoders: the family `encoders`."""

from components.encoders.clip_frames import CLIPFrames
from components.encoders.languagebind_video import LanguageBindVideo
from components.encoders.stab import EVE, STAB
from components.encoders.video_encoder import TokenLayout, VideoEncoder, VideoShapes

__all__ = ["EVE", "STAB", "CLIPFrames", "LanguageBindVideo", "TokenLayout", "VideoEncoder", "VideoShapes"]
