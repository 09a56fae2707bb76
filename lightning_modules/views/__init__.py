"""Views into the model: pictures of what its parts do with a clip. One view per file; `ModelViews` shows them."""

from lightning_modules.views.base import ClipView
from lightning_modules.views.choice import chosen_clips
from lightning_modules.views.frame_attention import FrameAttention
from lightning_modules.views.fusion_weights import FusionWeights
from lightning_modules.views.shown_clip import ShownClip
from lightning_modules.views.teacher_similarity import TeacherSimilarity
from lightning_modules.views.token_norms import TokenNorms, medians
from lightning_modules.views.video_attention import VideoAttention
from lightning_modules.views.window_attention import WindowAttention

CLIP_VIEWS: tuple[type[ClipView], ...] = (
    WindowAttention,
    FrameAttention,
    VideoAttention,
    TeacherSimilarity,
    TokenNorms,
)

__all__ = [
    "CLIP_VIEWS",
    "ClipView",
    "FrameAttention",
    "FusionWeights",
    "ShownClip",
    "TeacherSimilarity",
    "TokenNorms",
    "VideoAttention",
    "WindowAttention",
    "chosen_clips",
    "medians",
]
