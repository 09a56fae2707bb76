"""The batches that a data module gives to a model: packed uint8 frames, and text with one placeholder per clip.

The data do not depend on the encoder: a placeholder stands for a whole clip, however many tokens the encoder makes of
it.
"""

from __future__ import annotations

import traceback
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import get_worker_info

from components.encoders.video_encoder import VideoShapes
from components.teachers import KnownFeatures
from datamodules.answer_kind import FREE_ANSWER, AnswerKind
from datamodules.processes import raised_by_us
from datamodules.records.record import described
from datamodules.video.media_policy import Skipped


@dataclass
class SampleFacts:
    """The facts needed to ask, score and show the last question of one sample.

    Attributes:
        id: id of the record.
        video: path of the clip; empty for a sample without a clip.
        family: question family under which the score is reported.
        before: earlier questions and answers of the conversation.
        question: last question.
        answer: reference answer, which the model does not see in evaluation.
        answer_kind: how a reply is compared with the reference answer.
        where: description of the record's position in its file; empty for a generated record.
    """

    id: str
    video: str
    family: str
    before: tuple[tuple[str, str], ...]
    question: str
    answer: str
    answer_kind: AnswerKind = FREE_ANSWER
    where: str = ""

    def __str__(self) -> str:
        return described(self.id, self.video, self.where)


@dataclass
class PackedClips:
    """The clips of a batch, fitted to one canvas.

    Attributes:
        frames: RGB frames of all clips, concatenated.
        shapes: frame counts and valid rectangles of the clips.
    """

    frames: UInt8[Tensor, "frames 3 height width"]
    shapes: VideoShapes

    def select(self, clips: Sequence[int]) -> PackedClips:
        """Return the clips at some positions."""
        counts = self.shapes.frame_counts
        chosen = torch.zeros(len(counts), dtype=torch.bool)
        chosen[list(clips)] = True
        frames = chosen.repeat_interleave(counts)
        shapes = VideoShapes(counts[chosen], self.shapes.rectangles[frames], self.shapes.canvas)
        return PackedClips(self.frames[frames], shapes)

    def pin_memory(self) -> PackedClips:
        """Pin the frames, the only large part, for an asynchronous copy to the device."""
        return PackedClips(self.frames.pin_memory(), self.shapes)


@dataclass
class Batch:
    """A batch of samples with one clip each or none.

    Attributes:
        clips: clips that the model sees; without frames if no sample has a clip or all were left out.
        teacher_clips: the same frames on the teacher's canvas; None without a teacher or without frames.
        input_ids: token ids of each sample, with one placeholder for the clip.
        labels: target ids of each sample, with the same lengths as `input_ids`; -100 for tokens without loss.
        samples: facts about each sample.
        skipped: samples that were left out or replaced in this batch.
        known: what the cache of the teacher's features knows of the clips.
    """

    clips: PackedClips
    teacher_clips: PackedClips | None
    input_ids: list[Int64[Tensor, "_"]]
    labels: list[Int64[Tensor, "_"]]
    samples: list[SampleFacts]
    skipped: list[Skipped] = field(default_factory=list)
    known: KnownFeatures = field(default_factory=KnownFeatures)

    @property
    def has_clips(self) -> bool:
        """Whether the batch has a clip."""
        return len(self.clips.shapes.frame_counts) > 0

    def without(self, left_out: Collection[int]) -> Batch:
        """Return the batch without the samples at some positions, and without `skipped`, to count these only once."""
        kept = [position for position in range(len(self.samples)) if position not in left_out]
        with_clip = [position for position, sample in enumerate(self.samples) if sample.video]
        clips = [number for number, position in enumerate(with_clip) if position not in left_out]
        return Batch(
            clips=self.clips.select(clips),
            teacher_clips=self.teacher_clips and self.teacher_clips.select(clips),
            input_ids=[self.input_ids[position] for position in kept],
            labels=[self.labels[position] for position in kept],
            samples=[self.samples[position] for position in kept],
            known=self.known.select(clips),
        )

    def pin_memory(self) -> Batch:
        """Pin the frames and the features of a teacher, for an asynchronous copy to the device."""
        self.clips = self.clips.pin_memory()
        self.teacher_clips = self.teacher_clips and self.teacher_clips.pin_memory()
        self.known = self.known.pin_memory()
        return self


@dataclass(frozen=True)
class Failed:
    """An error that a loader process returns instead of a batch: torch would merge its message with the traceback.

    Attributes:
        error: error of the user or the system, which the training process raises.
    """

    error: ValueError | OSError

    @classmethod
    def of(cls, error: ValueError | OSError) -> Failed:
        """Return an error that can be sent to the training process.

        Raises:
            ValueError, OSError: `error` itself, if it is a bug or this is not a loader process.
        """
        from_system = isinstance(error, OSError) and error.errno is not None
        if get_worker_info() is None or not (from_system or raised_by_us(error)):
            raise error
        copy = OSError(error.errno, error.strerror, error.filename) if isinstance(error, OSError) else ValueError(error)
        copy.add_note("".join(traceback.format_exception(error)))
        return cls(copy)
