"""Views into the model: pictures of what its parts do with a clip, for the callback `ModelViews`."""

from lightning_modules.views.attention import FrameAttention, VideoAttention, WindowAttention
from lightning_modules.views.clip_view import ClipView
from lightning_modules.views.teacher_similarity import TeacherSimilarity
from lightning_modules.views.token_norms import TokenNorms

ATTENTION_VIEWS = (WindowAttention, FrameAttention, VideoAttention)  # which need no more than an encoder
# In the order in which they are listed and drawn.
CLIP_VIEWS: tuple[type[ClipView], ...] = (*ATTENTION_VIEWS, TeacherSimilarity, TokenNorms)
