"""Frozen vision networks whose features are distilled (the family `teachers`), and the cache of their features."""

from components.teachers.feature_cache import (
    NOTHING_KEPT,
    DiskFeatureCache,
    FeatureCache,
    KnownFeatures,
    NoFeatureCache,
    clip_key,
)
from components.teachers.image_teachers import CLIPTeacher, DINOv2Teacher, ImageTeacher
from components.teachers.internvideo2_teacher import InternVideo2Teacher
from components.teachers.languagebind_teacher import LanguageBindTeacher
from components.teachers.teacher import LoadedTeacher, NoTeacher, Teacher, Untrained, VideoTeacher
from components.teachers.torchvision_teacher import TorchvisionTeacher

__all__ = [
    "NOTHING_KEPT",
    "CLIPTeacher",
    "DINOv2Teacher",
    "DiskFeatureCache",
    "FeatureCache",
    "ImageTeacher",
    "InternVideo2Teacher",
    "KnownFeatures",
    "LanguageBindTeacher",
    "LoadedTeacher",
    "NoFeatureCache",
    "NoTeacher",
    "Teacher",
    "TorchvisionTeacher",
    "Untrained",
    "VideoTeacher",
    "clip_key",
]
