"""Similarity of the student's predictions to the teacher's features, token by token."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from components.distillation.distillation import FeatureDistillation
from lightning_modules.video_language import VideoLanguageModel
from lightning_modules.views.clip_view import ClipView, ShownClip
from lightning_modules.views.film import RISING, Swatch, film, heat


class TeacherSimilarity(ClipView):
    """Heat maps of the cosine similarity between predictions and the teacher's features.

    The head makes one prediction from several hidden states: the first one is the query, the others are keys and
    values. The first map is of that prediction. With several keys, further maps are of the predictions from each alone.
    """

    name = "teacher_similarity"

    def __init__(self, part: FeatureDistillation) -> None:
        self.part = part

    @classmethod
    def of(cls, model: VideoLanguageModel) -> TeacherSimilarity | None:
        """Return the view of a model that is distilled from a teacher; otherwise None."""
        return cls(model.distillation) if isinstance(model.distillation, FeatureDistillation) else None

    def watch(self) -> list[RemovableHandle]:
        """Register a hook on the distillation."""
        return [self.part.register_forward_hook(self._see)]

    def _see(self, part: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        states, teacher = inputs[:2]
        single = self.part.head.of_single_layers(states)
        predictions = [self.part.head(states), *(single if len(single) > 1 else [])]
        self.seen: Float[Tensor, "maps tokens"] = torch.stack(
            [functional.cosine_similarity(prediction.float(), teacher.float(), dim=-1) for prediction in predictions]
        ).cpu()

    def draw(self, clip: ShownClip) -> Image.Image:
        """Draw the heat maps."""
        low, high = float(self.seen.min()), float(self.seen.max())
        asking, *answering = self.part.hidden_layers
        single_names = [f"state {layer} alone" for layer in answering] if len(answering) > 1 else []
        names = ["prediction", *single_names]
        frames = [clip.grid_frames == frame for frame in range(len(clip.frames))]
        layers = []
        for name, values in zip(names, self.seen, strict=True):
            notes = [f"{name}: mean {values[tokens].mean():.3f}" for tokens in frames]
            layers.append(heat(clip.over_frames(values), notes, low, high))
        means = ", ".join(f"{name} {float(values.mean()):.3f}" for name, values in zip(names, self.seen, strict=True))
        caption = [
            f"{type(self.part).__name__} of {', '.join(map(str, self.part.hidden_layers))}: of these hidden states of "
            f"the language model, {asking} asks the others (0 is its input)."
            + (" 'Alone' is what would be predicted if no other one answered." if single_names else ""),
            f"Means over all frames: {means}.",
        ]
        legend = Swatch(RISING, f"{low:.3f} to {high:.3f}: cosine of prediction and teacher's feature")
        return film(clip, layers, [legend], caption, most=4)
