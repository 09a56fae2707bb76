"""Frozen vision networks whose features are distilled, and the cache of these: the family `teachers`."""

from components.teachers.base import ImageTeacher, Teacher, VideoTeacher
from components.teachers.clip import CLIPTeacher
from components.teachers.content_hash import ContentHashes
from components.teachers.dinov2 import DINOv2Teacher
from components.teachers.feature_cache import DiskFeatureCache, FeatureCache, NoFeatureCache, feature_key
from components.teachers.internvideo2 import InternVideo2Teacher
from components.teachers.none import NoTeacher
from components.teachers.untrained import Untrained

__all__ = [
    "CLIPTeacher",
    "ContentHashes",
    "DINOv2Teacher",
    "DiskFeatureCache",
    "FeatureCache",
    "ImageTeacher",
    "InternVideo2Teacher",
    "NoFeatureCache",
    "NoTeacher",
    "Teacher",
    "Untrained",
    "VideoTeacher",
    "feature_key",
]
