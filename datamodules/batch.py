"""What a data module hands to a model: packed uint8 frames and text with one placeholder per clip.

Data know no encoder: a placeholder stands for a whole clip, however many tokens an encoder will make of it.
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
from datamodules.answer_kind import FREE_ANSWER, AnswerKind
from datamodules.processes import raised_by_us
from datamodules.records.record import described
from datamodules.video.media_policy import Skipped


@dataclass
class SampleFacts:
    """What is needed to ask, score and show the last question of one sample.

    Attributes:
        id: of the record.
        video: file of its clip; empty where there is none.
        family: that its score is reported under.
        before: questions and answers that come before it in the conversation.
        question: what is asked.
        answer: what is right; never seen by a model that is asked.
        answer_kind: how a reply is compared with it.
        where: words for the place that the record was read from; empty if it was made.
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
        frames: canvases of all clips, one clip after the other, RGB.
        shapes: frame counts and valid rectangles.
    """

    frames: UInt8[Tensor, "frames 3 height width"]
    shapes: VideoShapes

    def select(self, clips: Sequence[int]) -> PackedClips:
        """Return some of the clips."""
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
    """A batch of samples with one clip each, or none.

    Attributes:
        clips: what the model sees; without a frame if every sample was left out, or has no clip.
        teacher_clips: the same frames on the teacher's canvas; None where no teacher is asked, or there is no frame.
        input_ids: token ids per sample; the clip is one placeholder.
        labels: the same lengths; -100 where no loss is taken.
        samples: facts per sample.
        skipped: samples left out or replaced while this batch was made.
    """

    clips: PackedClips
    teacher_clips: PackedClips | None
    input_ids: list[Int64[Tensor, "_"]]
    labels: list[Int64[Tensor, "_"]]
    samples: list[SampleFacts]
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def has_clips(self) -> bool:
        """Whether there is a clip in it."""
        return len(self.clips.shapes.frame_counts) > 0

    def without(self, left_out: Collection[int]) -> Batch:
        """Return the batch without the samples at some places; it has no `skipped`, which have been counted with it."""
        kept = [place for place in range(len(self.samples)) if place not in left_out]
        shown = [place for place, sample in enumerate(self.samples) if sample.video]  # the sample of every clip
        clips = [number for number, place in enumerate(shown) if place not in left_out]
        return Batch(
            clips=self.clips.select(clips),
            teacher_clips=self.teacher_clips and self.teacher_clips.select(clips),
            input_ids=[self.input_ids[place] for place in kept],
            labels=[self.labels[place] for place in kept],
            samples=[self.samples[place] for place in kept],
        )

    def pin_memory(self) -> Batch:
        """Pin the frames, for an asynchronous copy to the device."""
        self.clips = self.clips.pin_memory()
        self.teacher_clips = self.teacher_clips and self.teacher_clips.pin_memory()
        return self


@dataclass(frozen=True)
class Failed:
    """What a loader process hands over instead of a batch: torch would make one text of an error and its frames.

    Attributes:
        error: the user's or the system's, for the training process to raise.
    """

    error: ValueError | OSError

    @classmethod
    def of(cls, error: ValueError | OSError) -> Failed:
        """Return what can be handed over.

        Raises:
            ValueError, OSError: `error`, if it is a bug, or this is no loader process.
        """
        known = isinstance(error, OSError) and error.errno is not None
        if get_worker_info() is None or not (known or raised_by_us(error)):
            raise error
        said = OSError(error.errno, error.strerror, error.filename) if isinstance(error, OSError) else ValueError(error)
        said.add_note("".join(traceback.format_exception(error)))
        return cls(said)
