"""What the video context takes of the frames of a chunk."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from components.encoders import STAB
from components.encoders.stab_layout import STABLayout
from components.stab import GSTRA
from lightning_modules.video_language import VideoLanguageModel
from lightning_modules.views.base import ClipView
from lightning_modules.views.film import film, times_alike
from lightning_modules.views.shown_clip import ShownClip


class VideoAttention(ClipView):
    """A heat map of GSTRA's attention over the cells of every chunk, padding included where it sees it."""

    name = "video_attention"

    def __init__(self, encoder: STAB, part: GSTRA) -> None:
        self.encoder = encoder
        self.part = part

    @classmethod
    def of(cls, model: VideoLanguageModel) -> VideoAttention | None:
        """Return the view of a model with GSTRA."""
        encoder = model.encoder
        if not isinstance(encoder, STAB) or not isinstance(encoder.video_aggregator, GSTRA):
            return None
        return cls(encoder, encoder.video_aggregator)

    def watch(self) -> list[RemovableHandle]:
        """Watch the video aggregator."""
        return [self.part.register_forward_hook(self._see)]

    def _see(self, part: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self.seen: Tensor = self.part.attention_weights(*inputs).float().mean(2).cpu()

    def over_frames(
        self, cells: Float[Tensor, "frames cells"], clip: ShownClip
    ) -> Float[Tensor, "frames rows columns"]:
        """Lay values of cells out over the patches in them."""
        assert isinstance(clip.layout, STABLayout)
        side = self.encoder.downsampling_placement.cell_side(self.encoder.stride)
        grids = cells.view(clip.layout.valid.inside.shape)
        patches = grids.repeat_interleave(side, 1).repeat_interleave(side, 2)
        # A cell that reaches over the edge of the canvas goes on at the opposite one.
        shifted = [
            frame.roll(shift, (0, 1))
            for frame, shift in zip(patches, map(tuple, clip.layout.shift.tolist()), strict=True)
        ]
        return torch.stack(shifted)

    def draw(self, clip: ShownClip) -> Image.Image | None:
        """Draw the heat map; none of an image, which has no video context."""
        layout = clip.layout
        assert isinstance(layout, STABLayout)
        if len(layout.video_frames) == 0:
            return None
        chunk = layout.chunks.group
        cells = torch.bincount(chunk) * self.seen.shape[1]  # of every chunk
        times = self.seen * cells[chunk][:, None]
        share = self.seen.sum(1)
        notes = [
            f"chunk {number + 1}, {part:.0%} of its attention"
            for number, part in zip(chunk.tolist(), share.tolist(), strict=True)
        ]
        effective = torch.zeros(len(cells)).index_add(0, chunk, torch.special.entr(self.seen).sum(1)).exp()
        padding = ~layout.valid.inside.flatten(1)
        layer, legend = times_alike(self.over_frames(times, clip), notes, "chunk")
        caption = [
            f"{type(self.part).__name__}: what the video context of a chunk takes of each cell, mean over "
            f"{self.part.attention.heads} heads.",
            f"Effective cells (exp of the entropy): {effective.mean():.1f} of {cells.float().mean():.1f} on average. "
            f"Padding takes {float(self.seen[padding].sum()) / len(cells):.1%} of the attention and has "
            f"{padding.float().mean():.1%} of the area.",
        ]
        return film(clip, [layer], [legend], caption)
