"""The fusion weight alpha of every channel between frame and video context (paper eq. 14) in a run's validations."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from components.encoders import STAB
from components.stab import LearnedFusion
from lightning_modules.training.fully_sharded import whole_tensor
from lightning_modules.video_language import VideoLanguageModel
from lightning_modules.views.film import DIVERGING, FONT, FRAME_SIDE, GAP, LINE, WIDTH, colour

HEIGHT = 384


class FusionWeights:
    """A picture of alpha with a column per validation, and channels sorted by the last column."""

    name = "fusion_weights"

    def __init__(self, part: LearnedFusion) -> None:
        self.part = part
        self.columns: dict[int, Tensor] = {}  # step -> alpha

    @classmethod
    def of(cls, model: VideoLanguageModel) -> FusionWeights | None:
        """Return the view of a model whose fusion is learned; otherwise None."""
        encoder = model.encoder
        if not isinstance(encoder, STAB) or not isinstance(encoder.fusion, LearnedFusion):
            return None
        return cls(encoder.fusion)

    def add(self, step: int) -> None:
        """Record the current alpha; every process must call this."""
        alpha: Float[Tensor, " width"] = whole_tensor(self.part.balance.detach()).float().sigmoid()
        self.columns[step] = alpha.cpu()

    def state_dict(self) -> dict[str, Any]:
        """Return the recorded alphas."""
        return {"steps": list(self.columns), "alpha": list(self.columns.values())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the recorded alphas."""
        self.columns = dict(zip(state["steps"], state["alpha"], strict=True))

    def draw(self) -> Image.Image:
        """Draw all columns."""
        steps, alpha = list(self.columns), torch.stack(list(self.columns.values()), 1)
        alpha = alpha[alpha[:, -1].argsort(descending=True, stable=True)]
        reach = max(float((alpha - 0.5).abs().max()), 1e-4)
        cells = Image.fromarray(colour(alpha.numpy(), 0.5 - reach, 0.5 + reach, DIVERGING))
        last = alpha[:, -1]
        caption = textwrap.wrap(
            f"alpha of {len(alpha)} channels at {len(steps)} validations, a row per channel in the order of the last "
            f"one. Last: mean {last.mean():.4f}, from {last.min():.4f} to {last.max():.4f}; {(last > 0.5).sum()} "
            "channels count the frame more.",
            125,
        )
        image = Image.new("RGB", (WIDTH, HEIGHT + (2 + len(caption)) * LINE + 2 * GAP), "white")
        image.paste(cells.resize((WIDTH - 2 * GAP, HEIGHT), Image.Resampling.BOX), (GAP, GAP))
        draw = ImageDraw.Draw(image)
        top = GAP + HEIGHT + 2
        draw.text((GAP, top), f"step {steps[0]}", fill="black", font=FONT)
        draw.text((WIDTH - GAP, top), f"step {steps[-1]}", fill="black", font=FONT, anchor="ra")
        bar = colour(np.linspace(0, 1, FRAME_SIDE)[None].repeat(LINE - 4, 0), 0, 1, DIVERGING)
        image.paste(Image.fromarray(bar), (GAP, top + LINE + 2))
        legend = f"{0.5 - reach:.4f} (video context counts more) to {0.5 + reach:.4f} (frame context counts more)"
        draw.text((2 * GAP + FRAME_SIDE, top + LINE + 1), legend, fill="black", font=FONT)
        for number, line in enumerate(caption):
            draw.text((GAP, top + (2 + number) * LINE + 2), line, fill="black", font=FONT)
        return image
