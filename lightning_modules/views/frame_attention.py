"""What the frame context takes of the tokens of a frame."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from components.encoders import STAB
from components.stab import FSRA
from lightning_modules.video_language import VideoLanguageModel
from lightning_modules.views.base import ClipView
from lightning_modules.views.film import film, times_alike
from lightning_modules.views.shown_clip import ShownClip


class FrameAttention(ClipView):
    """A heat map of FSRA's attention over the tokens of every frame."""

    name = "frame_attention"

    def __init__(self, part: FSRA) -> None:
        self.part = part

    @classmethod
    def of(cls, model: VideoLanguageModel) -> FrameAttention | None:
        """Return the view of a model with FSRA."""
        encoder = model.encoder
        if not isinstance(encoder, STAB) or not isinstance(encoder.frame_aggregator, FSRA):
            return None
        return cls(encoder.frame_aggregator)

    def watch(self) -> list[RemovableHandle]:
        """Watch the frame aggregator."""
        return [self.part.register_forward_hook(self._see)]

    def _see(self, part: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self.seen: Tensor = self.part.attention_weights(*inputs).float().mean(1).cpu()

    def draw(self, clip: ShownClip) -> Image.Image:
        """Draw the heat map."""
        tokens = clip.layout.grids.prod(1)
        times = self.seen * tokens[clip.grid_frames]
        effective = torch.zeros(len(tokens)).index_add(0, clip.grid_frames, torch.special.entr(self.seen)).exp()
        notes = [f"effective tokens {value:.1f} of {count}" for value, count in zip(effective, tokens, strict=True)]
        layer, legend = times_alike(clip.over_frames(times), notes, "frame")
        caption = [
            f"{type(self.part).__name__}: what the frame context takes of each token, mean over "
            f"{self.part.attention.heads} heads.",
            f"Effective tokens (exp of the entropy): {effective.mean():.1f} of {tokens.float().mean():.1f} on average.",
        ]
        return film(clip, [layer], [legend], caption)
