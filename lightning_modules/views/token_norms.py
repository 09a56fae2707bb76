"""Norms of the tokens after every part, compared with the embeddings of the text."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from components.encoders import STAB
from components.encoders.stab_layout import STABLayout
from components.stab import NoContext, NoFrameAggregator, NoLocalEncoding, NoVideoAggregator
from components.stab.grid import ValidArea
from lightning_modules.video_language import VideoLanguageModel
from lightning_modules.views.clip_view import ClipView, ShownClip
from lightning_modules.views.film import FONT, GAP, LINE, WIDTH

SLOTS = ("patch_embedding", "local_encoding", "downsampling", "frame_aggregator", "video_aggregator", "fusion")
GIVES_NOTHING = (NoLocalEncoding, NoFrameAggregator, NoVideoAggregator, NoContext)
ROW = 26
BAR = (250, WIDTH - 190)  # left and right end in pixels


class TokenNorms(ClipView):
    """L2 norms of the output tokens of every part, as bars on a logarithmic scale. Padding is left out."""

    name = "token_norms"

    def __init__(self, parts: dict[str, nn.Module]) -> None:
        self.parts = parts
        self.seen: dict[str, Tensor] = {}

    @classmethod
    def of(cls, model: VideoLanguageModel) -> TokenNorms:
        """Return the view of any model; for an encoder other than STAB, of its output only."""
        encoder = model.encoder
        slots = {slot: getattr(encoder, slot) for slot in SLOTS} if isinstance(encoder, STAB) else {"encoder": encoder}
        present = {slot: part for slot, part in slots.items() if not isinstance(part, GIVES_NOTHING)}
        text = model.language_model.network.get_input_embeddings()
        return cls(present | {"projector": model.projector, "text": text})

    def watch(self) -> list[RemovableHandle]:
        """Register hooks on the parts."""
        self.seen = {}
        return [part.register_forward_hook(partial(self._see, slot)) for slot, part in self.parts.items()]

    def _see(self, slot: str, part: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self.seen[slot] = output.float().norm(dim=-1).cpu()

    def norms(self, clip: ShownClip) -> dict[str, Float[Tensor, " tokens"]]:
        """Return the norms of the clip's tokens after each part."""
        return {slot: self._of_picture(slot, norms, clip) for slot, norms in self.seen.items()}

    def _of_picture(self, slot: str, norms: Tensor, clip: ShownClip) -> Tensor:
        layout = clip.layout
        if slot == "patch_embedding":
            return norms[ValidArea.of_rectangles(clip.rectangles, clip.canvas).inside]
        if slot == "local_encoding":
            assert isinstance(layout, STABLayout)
            return norms[layout.valid.inside]
        if slot == "downsampling" and isinstance(layout, STABLayout) and len(norms) != len(layout.windows):
            return norms.index_select(0, layout.windows[:, 0])  # all windows of the canvas were merged
        return norms.flatten()

    def draw(self, clip: ShownClip) -> Image.Image:
        """Draw a bar from the 5th to the 95th percentile for each part, with a mark at the median."""
        norms = {slot: values for slot, values in self.norms(clip).items() if values.numel()}
        spans = {slot: np.quantile(values.numpy(), (0, 0.05, 0.5, 0.95, 1)) for slot, values in norms.items()}
        low = math.log10(max(min(span[1] for span in spans.values()), 1e-6)) - 0.05
        high = math.log10(max(max(span[3] for span in spans.values()), 1e-6)) + 0.05
        image = Image.new("RGB", (WIDTH, (len(spans) + 1) * ROW + 2 * LINE + GAP), "white")
        draw = ImageDraw.Draw(image)

        def place(norm: float) -> int:
            share = (math.log10(max(norm, 1e-6)) - low) / (high - low)
            return round(BAR[0] + min(max(share, 0), 1) * (BAR[1] - BAR[0]))

        for row, (slot, (least, short, middle, long, most)) in enumerate(spans.items()):
            top = GAP + row * ROW
            part = self.parts[slot]
            draw.text((GAP, top), f"{slot.replace('_', ' ')} ({type(part).__name__})", fill="black", font=FONT)
            draw.line((BAR[0], top + 8, BAR[1], top + 8), fill="lightgrey")
            draw.line((place(least), top + 8, place(most), top + 8), fill="steelblue")
            draw.rectangle((place(short), top + 3, place(long), top + 13), fill="steelblue")
            draw.line((place(middle), top, place(middle), top + 16), fill="black", width=3)
            draw.text((BAR[1] + GAP, top), f"{middle:.3g}  ({least:.3g} to {most:.3g})", fill="black", font=FONT)
        bottom = GAP + len(spans) * ROW
        draw.text((BAR[0], bottom), f"{10**low:.3g}", fill="black", font=FONT)
        draw.text((BAR[1], bottom), f"{10**high:.3g}", fill="black", font=FONT, anchor="ra")
        words = "Length (L2 norm) of the tokens after each part: median (least to most); the bar has 90 % of them."
        draw.text((GAP, bottom + ROW), clip.title, fill="black", font=FONT)
        draw.text((GAP, bottom + ROW + LINE), words, fill="black", font=FONT)
        return image


def medians(norms: dict[str, Float[Tensor, " tokens"]]) -> dict[str, float]:
    """Return the median norm after each part."""
    return {slot: float(values.median()) for slot, values in norms.items() if values.numel()}
