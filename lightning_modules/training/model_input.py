"""The model's input: a batch with all sizes and positions computed on the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from components.distillation import Alignment, align
from components.encoders import TokenLayout, VideoEncoder
from components.language_models import LanguageModel
from components.splice import PaddingSide, SplicePlan, TooLongError, plan_splice
from components.teachers import KnownFeatures
from components.transfer import to_device
from datamodules.batch import Batch, PackedClips, SampleFacts
from datamodules.skips import SkipCounter
from lightning_modules.scoring.candidate_likelihood import CandidateInput, plan_candidates


@dataclass
class TeacherInput:
    """Input of a teacher, and the model's tokens that its features are compared with.

    Attributes:
        frames: canvases of all clips, packed, RGB.
        frame_counts: number of frames per clip, on the host.
        known: what the cache of its features knows of the clips.
        positions: index of every grid token in the flattened batch (B * L); arbitrary if the text shows no clip.
        alignment: the teacher's patches that every grid token covers.
    """

    frames: UInt8[Tensor, "frames 3 height width"]
    frame_counts: list[int]
    known: KnownFeatures
    positions: Int64[Tensor, " grid_tokens"]
    alignment: Alignment


@dataclass
class ModelInput:
    """A batch with everything that follows from its sizes, so that no tensor has to be read back to the host.

    Attributes:
        frames: canvases of all clips, packed, RGB.
        frame_counts: number of frames per clip, on the host, to show single clips.
        layout: positions of the encoder's features; no visual tokens unless `has_real_clips`.
        text: positions of text and visual tokens.
        samples: facts per sample.
        is_real: whether the samples count in losses and scores; false for a stand-in, with which a process without
            samples takes part in collective operations.
        has_real_clips: whether the clips count; false if all samples are text only and the clip is a stand-in's, so
            that every step has the same parameters in its graph.
        teacher: input of the teacher; None without distillation.
        questions: positions of the questions' tokens, without answers, to generate from; None if nothing is generated.
        candidates: positions that predict the tokens of all possible answers; None if nothing is generated.
    """

    frames: UInt8[Tensor, "frames 3 height width"]
    frame_counts: list[int]
    layout: TokenLayout
    text: SplicePlan
    samples: list[SampleFacts]
    is_real: bool
    has_real_clips: bool
    teacher: TeacherInput | None
    questions: SplicePlan | None
    candidates: CandidateInput | None

    def to(self, device: torch.device | str) -> ModelInput:
        """Return the same input with its tensors on `device`, copied without waiting for them."""
        return to_device(self, device)


def prepare(
    batch: Batch,
    encoder: VideoEncoder,
    language_model: LanguageModel,
    stand_in: Callable[[], Batch],
    max_new_tokens: int = 0,
) -> ModelInput:
    """Compute on the host the position of every token of a batch.

    Args:
        batch: the batch; without samples, `stand_in` replaces it and does not count.
        encoder: determines the visual tokens of a clip.
        language_model: determines the maximum length, and encodes the questions.
        stand_in: returns a batch of one sample with a clip, for a `batch` without samples or clips.
        max_new_tokens: maximum number of tokens of a generated answer; 0 if none is generated.

    Raises:
        TooLongError: samples have more tokens than the language model takes, or leave no room for their answers.
        ValueError: the encoder does not take these sizes, or its tokens cannot be aligned with the teacher's patches.
    """
    is_real = len(batch.samples) > 0
    batch = batch if is_real else stand_in()
    encoded = batch if batch.has_clips else stand_in()
    shapes = encoded.clips.shapes
    layout = encoder.layout(shapes)
    shown = layout if batch.has_clips else replace(layout, token_counts=(), order=layout.order[:0])
    text = plan_splice(
        batch.input_ids,
        shown.token_counts,
        batch.labels,
        padding_side=PaddingSide.RIGHT,
        pad_id=language_model.text.pad_id,
        max_length=language_model.max_length,
    )
    questions, candidates = None, None
    if max_new_tokens:
        questions = _plan_questions(batch, shown.token_counts, language_model, max_new_tokens)
        candidates = plan_candidates(batch, text, shown.token_counts, language_model)
    teacher = None
    if encoded.teacher_clips is not None:
        if len(layout.grids) == 0:
            raise ValueError(
                f"{type(encoder).__name__} has no tokens that stand for a part of a frame, which a teacher's features "
                "could be compared with; set model.teacher to NoTeacher and model.distillation to NoDistillation"
            )
        positions = text.visual_positions[layout.grid] if batch.has_clips else torch.zeros_like(layout.grid)
        teacher = _teacher_input(encoded.teacher_clips, encoded.known, layout, positions)
    return ModelInput(
        frames=encoded.clips.frames,
        frame_counts=shapes.frame_counts.tolist(),
        layout=shown,
        text=text,
        samples=batch.samples,
        is_real=is_real,
        has_real_clips=batch.has_clips,
        teacher=teacher,
        questions=questions,
        candidates=candidates,
    )


def without_long(batch: Batch, error: TooLongError, skips: SkipCounter) -> Batch:
    """Return a batch without the samples that are too long, and count those.

    Raises:
        TooLongError: the batch has no samples, so a stand-in is too long.
        ValueError: the policy for long records does not allow to skip them.
    """
    if not batch.samples:
        raise error
    skips.count_long({str(batch.samples[place]): length for place, length in error.samples.items()})
    return batch.without(error.samples)


def _plan_questions(
    batch: Batch, token_counts: Sequence[int], language_model: LanguageModel, max_new_tokens: int
) -> SplicePlan:
    text = language_model.text
    return plan_splice(
        [
            text.encode_question(sample.before, sample.question, with_clip=sample.video != "")
            for sample in batch.samples
        ],
        token_counts,
        None,
        padding_side=PaddingSide.LEFT,
        pad_id=text.pad_id,
        max_length=language_model.max_length,
        new_tokens=max_new_tokens,
    )


def _teacher_input(clips: PackedClips, known: KnownFeatures, layout: TokenLayout, positions: Tensor) -> TeacherInput:
    return TeacherInput(
        frames=clips.frames,
        frame_counts=clips.shapes.frame_counts.tolist(),
        known=known,
        positions=positions,
        alignment=align(layout.grids, clips.shapes.rectangles, clips.shapes.canvas),
    )
