"""A training batch of given sizes without data: square clips that fill their canvas, and as many ids as asked."""

from __future__ import annotations

import torch

from components.encoders import VideoShapes
from components.splice import IGNORED_LABEL, PLACEHOLDER
from datamodules.batch import Batch, PackedClips, SampleFacts
from lightning_modules.training.model_input import ModelInput, prepare
from lightning_modules.video_language import VideoLanguageModel


def training_batch(
    model: VideoLanguageModel, frames: int, canvas: int, samples: int, text_tokens: int, device: torch.device
) -> ModelInput:
    """Return a batch as the model would be given it, on `device`.

    Args:
        model: whose encoder, language model and teacher it is for.
        frames: of each clip.
        canvas: side of the encoder's canvas in pixels; the teacher has one of its own.
        samples: how many.
        text_tokens: ids of each, without those of the clip; the second half of them is learnt.
        device: where its tensors are.

    Raises:
        ValueError: sizes that encoder, teacher or language model do not take.
    """
    text = torch.zeros(text_tokens, dtype=torch.int64)
    learnt = text.clone()
    learnt[: text_tokens // 2] = IGNORED_LABEL
    ids = torch.cat([torch.tensor([PLACEHOLDER]), text])
    labels = torch.cat([torch.tensor([IGNORED_LABEL]), learnt])
    teacher = None
    if model.distillation.hidden_layers:
        teacher = _clips(samples, frames, model.teacher.canvas, model.teacher.patch_size, device)
    batch = Batch(
        clips=_clips(samples, frames, canvas, model.encoder.patch_size, device),
        teacher_clips=teacher,
        input_ids=[ids] * samples,
        labels=[labels] * samples,
        samples=[SampleFacts(str(number), f"{number}.mp4", "", (), "", "") for number in range(samples)],
    )
    return prepare(batch, model.encoder, model.language_model, model.feature_cache, lambda: batch).to(device)


def _clips(clips: int, frames: int, canvas: int, patch_size: int, device: torch.device) -> PackedClips:
    side = canvas // patch_size
    shapes = VideoShapes(
        torch.full((clips,), frames), torch.tensor([0, 0, side, side]).expand(clips * frames, 4), (side, side)
    )
    return PackedClips(torch.zeros(clips * frames, 3, canvas, canvas, dtype=torch.uint8, device=device), shapes)
