"""Which patch of a window the downsampling takes most of."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from components.encoders import STAB
from components.encoders.stab_layout import STABLayout
from components.stab import LSD, LearnedQueryLSD
from lightning_modules.video_language import VideoLanguageModel
from lightning_modules.views.base import ClipView, apart
from lightning_modules.views.film import Layer, Swatch, film
from lightning_modules.views.shown_clip import ShownClip

STRONGEST = 0.85  # of the colours: the picture still shows
WORDS = {4: ("upper left", "upper right", "lower left", "lower right")}


class WindowAttention(ClipView):
    """The patch that wins in every window of LSD, in the colour of its position; strong where it wins clearly."""

    name = "window_attention"

    def __init__(self, encoder: STAB, part: LSD | LearnedQueryLSD) -> None:
        self.encoder = encoder
        self.part = part

    @classmethod
    def of(cls, model: VideoLanguageModel) -> WindowAttention | None:
        """Return the view of a model with LSD, if windows have more than one patch."""
        encoder = model.encoder
        if not isinstance(encoder, STAB) or not isinstance(encoder.downsampling, LSD | LearnedQueryLSD):
            return None
        return cls(encoder, encoder.downsampling) if encoder.stride > 1 else None

    def watch(self) -> list[RemovableHandle]:
        """Watch the downsampling."""
        return [self.part.register_forward_hook(self._see)]

    def _see(self, part: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self.seen: Tensor = self.part.attention_weights(*inputs).float().mean(1).cpu()

    def weights(self, clip: ShownClip) -> Float[Tensor, "tokens patches"]:
        """Return what every token takes of its patches, mean over heads."""
        assert isinstance(clip.layout, STABLayout)
        if self.encoder.downsampling_placement.cell_side(self.encoder.stride) == 1:
            return self.seen
        # All windows of the canvas were merged; a token is one of them.
        return self.seen.index_select(0, clip.layout.windows[:, 0])

    def draw(self, clip: ShownClip) -> Image.Image:
        """Draw the winners."""
        weights = self.weights(clip)
        count = weights.shape[1]
        best, winner = weights.max(1)
        place = clip.token_patches().gather(1, winner[:, None])[:, 0]
        lead = (best - 1 / count) / max(float(best.max()) - 1 / count, 1e-12)
        opacity = clip.at_patches(place, lead.clamp(0, 1) * STRONGEST).nan_to_num().numpy()
        position = clip.at_patches(place, winner.float()).nan_to_num().long().numpy()
        colours = apart(count)
        of_frame = [best[clip.grid_frames == frame] for frame in range(len(clip.frames))]
        notes = [f"winner takes {float(values.mean()):.3f} on average" for values in of_frame]
        shares = torch.bincount(winner, minlength=count) / len(winner)
        words = WORDS.get(count, [f"row {n // clip.stride + 1}, column {n % clip.stride + 1}" for n in range(count)])
        legend = [
            Swatch((tuple(int(channel) for channel in colours[n]),), f"{words[n]} wins in {share:.0%} of the windows")  # type: ignore[arg-type]
            for n, share in enumerate(shares.tolist())
        ]
        effective = torch.special.entr(weights).sum(1).exp().mean()
        caption = [
            f"{type(self.part).__name__}: the patch that each window takes most of, mean over "
            f"{self.part.attention.heads} heads; the stronger the colour, the clearer.",
            f"The winner takes {best.mean():.3f} on average, {best.max():.3f} at most; alike would be {1 / count:.3f}. "
            f"Effective patches (exp of the entropy): {effective:.2f} of {count}.",
        ]
        return film(clip, [Layer(colours[position], np.asarray(opacity), notes)], legend, caption)
