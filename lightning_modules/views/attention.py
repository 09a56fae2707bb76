"""Attention maps of STAB: in windows (LSD), in frames (FSRA) and in chunks of frames (GSTRA)."""

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
from components.stab import FSRA, GSTRA, LSD, LearnedQueryLSD
from lightning_modules.views.clip_view import ClipView, HasEncoder, ShownClip
from lightning_modules.views.film import Layer, Swatch, apart, film, times_alike

STRONGEST = 0.85  # maximum opacity of colours, with which the frame is still visible
WORDS = {4: ("upper left", "upper right", "lower left", "lower right")}


class WindowAttention(ClipView):
    """The patch with the largest weight in every window of LSD, coloured by position; opacity shows its lead."""

    name = "window_attention"

    def __init__(self, encoder: STAB, part: LSD | LearnedQueryLSD) -> None:
        self.encoder = encoder
        self.part = part

    @classmethod
    def of(cls, model: HasEncoder) -> WindowAttention | None:
        """Return the view of a model with LSD whose windows have more than one patch; otherwise None."""
        encoder = model.encoder
        if not isinstance(encoder, STAB) or not isinstance(encoder.downsampling, LSD | LearnedQueryLSD):
            return None
        return cls(encoder, encoder.downsampling) if encoder.stride > 1 else None

    def watch(self) -> list[RemovableHandle]:
        """Register a hook on the downsampling."""
        return [self.part.register_forward_hook(self._see)]

    def _see(self, part: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self.seen: Tensor = self.part.attention_weights(*inputs).float().mean(1).cpu()

    def weights(self, clip: ShownClip) -> Float[Tensor, "tokens patches"]:
        """Return the attention weights of every token over its patches, averaged over heads."""
        assert isinstance(clip.layout, STABLayout)
        if self.encoder.downsampling_placement.cell_side(self.encoder.stride) == 1:
            return self.seen
        # All windows of the canvas were merged; select those of tokens.
        return self.seen.index_select(0, clip.layout.windows[:, 0])

    def draw(self, clip: ShownClip) -> Image.Image:
        """Draw the winning patches."""
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


class FrameAttention(ClipView):
    """A heat map of FSRA's attention over the tokens of every frame."""

    name = "frame_attention"

    def __init__(self, part: FSRA) -> None:
        self.part = part

    @classmethod
    def of(cls, model: HasEncoder) -> FrameAttention | None:
        """Return the view of a model with FSRA; otherwise None."""
        encoder = model.encoder
        if not isinstance(encoder, STAB) or not isinstance(encoder.frame_aggregator, FSRA):
            return None
        return cls(encoder.frame_aggregator)

    def watch(self) -> list[RemovableHandle]:
        """Register a hook on the frame aggregator."""
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


class VideoAttention(ClipView):
    """A heat map of GSTRA's attention over the cells of every chunk, including padding that it attends to."""

    name = "video_attention"

    def __init__(self, encoder: STAB, part: GSTRA) -> None:
        self.encoder = encoder
        self.part = part

    @classmethod
    def of(cls, model: HasEncoder) -> VideoAttention | None:
        """Return the view of a model with GSTRA; otherwise None."""
        encoder = model.encoder
        if not isinstance(encoder, STAB) or not isinstance(encoder.video_aggregator, GSTRA):
            return None
        return cls(encoder, encoder.video_aggregator)

    def watch(self) -> list[RemovableHandle]:
        """Register a hook on the video aggregator."""
        return [self.part.register_forward_hook(self._see)]

    def _see(self, part: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self.seen: Tensor = self.part.attention_weights(*inputs).float().mean(2).cpu()

    def over_frames(
        self, cells: Float[Tensor, "frames cells"], clip: ShownClip
    ) -> Float[Tensor, "frames rows columns"]:
        """Spread the values of cells over their patches."""
        assert isinstance(clip.layout, STABLayout)
        side = self.encoder.downsampling_placement.cell_side(self.encoder.stride)
        grids = cells.view(clip.layout.valid.inside.shape)
        patches = grids.repeat_interleave(side, 1).repeat_interleave(side, 2)
        # Cells wrap around the edges of the canvas.
        shifted = [
            frame.roll(shift, (0, 1))
            for frame, shift in zip(patches, map(tuple, clip.layout.shift.tolist()), strict=True)
        ]
        return torch.stack(shifted)

    def draw(self, clip: ShownClip) -> Image.Image | None:
        """Draw the heat map; None for an image, which has no video context."""
        layout = clip.layout
        assert isinstance(layout, STABLayout)
        if len(layout.video_frames) == 0:
            return None
        chunk = layout.chunks.group
        cells = torch.bincount(chunk) * self.seen.shape[1]  # per chunk
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
