"""What the model is given: a batch with all sizes and positions worked out on the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor, device

from components.distillation import Alignment, align
from components.encoders import TokenLayout, VideoEncoder
from components.language_models import LanguageModel
from components.splice import PaddingSide, SplicePlan, TooLongError, plan_splice
from components.teachers import FeatureCache
from datamodules.batch import Batch, PackedClips, SampleFacts
from datamodules.skips import SkipCounter
from lightning_modules.scoring.candidate_likelihood import CandidateInput, plan_candidates


@dataclass
class TeacherInput:
    """What a teacher is shown, and which of the model's tokens its features are compared with.

    Attributes:
        frames: canvases of all clips, packed, RGB.
        frame_counts: frames per clip; they stay on the host.
        keys: name of each clip's features in the cache.
        positions: place of every grid token in the flattened batch (B * L); any where the text shows no clip.
        alignment: the teacher's patches behind every grid token.
    """

    frames: UInt8[Tensor, "frames 3 height width"]
    frame_counts: list[int]
    keys: list[str]
    positions: Int64[Tensor, " grid_tokens"]
    alignment: Alignment

    def to(self, device: device, non_blocking: bool = True) -> TeacherInput:
        """Move all tensors to `device`."""
        return TeacherInput(
            self.frames.to(device, non_blocking=non_blocking),
            self.frame_counts,
            self.keys,
            self.positions.to(device, non_blocking=non_blocking),
            self.alignment.to(device),
        )


@dataclass
class ModelInput:
    """A batch with everything that follows from its sizes worked out: no tensor need be read on the host again.

    Attributes:
        frames: canvases of all clips, packed, RGB.
        frame_counts: frames per clip, for who wants to show single clips; they stay on the host.
        layout: where the encoder's features go; nowhere if `clips_count` is false.
        text: where text and visual tokens go.
        samples: facts per sample.
        counts: whether they do; not those of a stand-in, with which a process takes part in what others do.
        clips_count: whether the clips do; not where all samples are text alone, and the clip is that of a stand-in, so
            that every step has the same parameters in its graph.
        teacher: what a teacher is shown; None where none is asked.
        questions: where the tokens of the questions go, without their answers, for a language model to go on from; None
            where none is generated.
        candidates: where the tokens of all answers that the questions may have are predicted; None with `questions`.
    """

    frames: UInt8[Tensor, "frames 3 height width"]
    frame_counts: list[int]
    layout: TokenLayout
    text: SplicePlan
    samples: list[SampleFacts]
    counts: bool
    clips_count: bool
    teacher: TeacherInput | None
    questions: SplicePlan | None
    candidates: CandidateInput | None

    def to(self, device: device, non_blocking: bool = True) -> ModelInput:
        """Move all tensors to `device`."""
        return ModelInput(
            self.frames.to(device, non_blocking=non_blocking),
            self.frame_counts,
            self.layout.to(device),
            self.text.to(device),
            self.samples,
            self.counts,
            self.clips_count,
            self.teacher and self.teacher.to(device, non_blocking),
            self.questions and self.questions.to(device),
            self.candidates and self.candidates.to(device),
        )


def prepare(
    batch: Batch,
    encoder: VideoEncoder,
    language_model: LanguageModel,
    feature_cache: FeatureCache,
    stand_in: Callable[[], Batch],
    max_new_tokens: int = 0,
) -> ModelInput:
    """Work out on the host where every token of a batch goes.

    Args:
        batch: if it has no sample, that of `stand_in` takes its place, and does not count.
        encoder: decides what tokens a clip becomes.
        language_model: decides how much fits.
        feature_cache: names the clips that a teacher is shown.
        stand_in: returns a sample with a clip, asked for where `batch` has none.
        max_new_tokens: how long an answer to its questions may be; 0 if none is generated.

    Raises:
        TooLongError: samples have more tokens than the language model takes, or leave no room for their answers.
        ValueError: sizes that the encoder does not take, or a teacher to compare with whose grid, or an encoder whose
            tokens, do not allow it.
    """
    counts = len(batch.samples) > 0
    batch = batch if counts else stand_in()
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
        teacher = _teacher_input(encoded.teacher_clips, layout, positions, feature_cache)
    return ModelInput(
        frames=encoded.clips.frames,
        frame_counts=shapes.frame_counts.tolist(),
        layout=shown,
        text=text,
        samples=batch.samples,
        counts=counts,
        clips_count=batch.has_clips,
        teacher=teacher,
        questions=questions,
        candidates=candidates,
    )


def without_long(batch: Batch, error: TooLongError, skips: SkipCounter) -> Batch:
    """Return a batch without the samples that are too long, which are counted.

    Raises:
        TooLongError: it is not its own samples that are, but a stand-in.
        ValueError: the policy does not accept it.
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
        [text.encode_question(each.before, each.question, with_clip=each.video != "") for each in batch.samples],
        token_counts,
        None,
        padding_side=PaddingSide.LEFT,
        pad_id=text.pad_id,
        max_length=language_model.max_length,
        new_tokens=max_new_tokens,
    )


def _teacher_input(
    clips: PackedClips, layout: TokenLayout, positions: Tensor, feature_cache: FeatureCache
) -> TeacherInput:
    counts = clips.shapes.frame_counts.tolist()
    return TeacherInput(
        frames=clips.frames,
        frame_counts=counts,
        keys=[feature_cache.key(frames) for frames in clips.frames.split(counts)],
        positions=positions,
        alignment=align(layout.grids, clips.shapes.rectangles, clips.shapes.canvas),
    )
