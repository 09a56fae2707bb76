"""From a record to a model's input: read the clip, sample frames, fit them to the canvas, encode the text."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from components.encoders.base import VideoShapes
from components.language_models.text import ChatText, EncodedText
from datamodules.batch import Batch, SampleFacts
from datamodules.records import Record
from datamodules.video.frame_cache import FrameCache
from datamodules.video.geometry import CanvasGeometry
from datamodules.video.media_policy import MediaPolicy, Skipped
from datamodules.video.open import DamagedVideo, open_video
from datamodules.video.reader import VideoError
from datamodules.video.sampling import FrameSampler
from datamodules.video.shown_frames import ShownFrames

log = logging.getLogger(__name__)

# Tokenised conversations that are kept for the next epoch, a few KiB each: a small data set is tokenised once.
KEPT_TEXTS = 8192


@dataclass
class Sample:
    """One record, ready to be put into a batch."""

    frames: UInt8[Tensor, "frames 3 height width"]
    rectangle: Int64[Tensor, 4]  # top, left, height, width in patches
    canvas: tuple[int, int]  # rows, columns of patches
    input_ids: Int64[Tensor, text]
    labels: Int64[Tensor, text]
    facts: SampleFacts


class ClipDataset(Dataset[Sample | Skipped]):
    """Records with their clips, decoded when asked for.

    The same code serves training, evaluation and prediction, so a clip looks the same in all of them.
    """

    def __init__(
        self,
        records: Sequence[Record],
        sampler: FrameSampler,
        geometry: CanvasGeometry,
        text: ChatText,
        bad_media: MediaPolicy,
        damaged: DamagedVideo,
        shown_frames: ShownFrames,
        cache: FrameCache,
    ) -> None:
        """Keep the parts; nothing is opened yet.

        Args:
            records: what to load.
            sampler: which frames of a clip.
            geometry: how frames are fitted to the canvas.
            text: tokenizer and prompt of the language model.
            bad_media: what to do with a clip that cannot be read.
            damaged: what to do with a clip of which only a part can be decoded.
            shown_frames: what the model gets to see of the frames.
            cache: keeps fitted frames between epochs.
        """
        self.records = records
        self.sampler = sampler
        self.geometry = geometry
        self.text = text
        self.bad_media = bad_media
        self.damaged = damaged
        self.shown_frames = shown_frames
        self.cache = cache
        self._texts: dict[int, EncodedText] = {}

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Sample | Skipped:
        record = self.records[index]
        try:
            frames, rectangle = self.cache.get(str(record.video), lambda: self._read(record))
        except VideoError as error:
            # An exception raised in a worker process loses its type and message on the way: hand the fact over instead.
            return Skipped(record_id=record.id, video=str(record.video), reason=str(error))
        turns = [(turn.question, turn.answer) for turn in record.turns]
        encoded = self._texts.get(index) or self.text.encode(turns)
        if len(self._texts) < KEPT_TEXTS:
            self._texts[index] = encoded
        return Sample(
            frames=self.shown_frames(frames, record.id),
            rectangle=rectangle,
            canvas=self.geometry.patches,
            input_ids=encoded.input_ids,
            labels=encoded.labels,
            facts=SampleFacts(record.id, record.family, tuple(turns[:-1]), *turns[-1]),
        )

    def _read(self, record: Record) -> tuple[Tensor, Tensor]:
        with open_video(record.video, self.damaged) as reader:
            return self.geometry(reader.frames(self.sampler.indices(len(reader), reader.fps)))


def collate(samples: Sequence[Sample | Skipped]) -> Batch:
    """Pack samples into a batch; clips may differ in frame count and valid area."""
    kept = [sample for sample in samples if isinstance(sample, Sample)]
    skipped = [sample for sample in samples if isinstance(sample, Skipped)]
    counts = [len(sample.frames) for sample in kept]
    rectangles = [sample.rectangle.expand(count, 4) for sample, count in zip(kept, counts, strict=True)]
    return Batch(
        frames=torch.cat([sample.frames for sample in kept]) if kept else torch.empty(0, 3, 0, 0, dtype=torch.uint8),
        shapes=VideoShapes(
            frame_counts=torch.tensor(counts, dtype=torch.int64),
            rectangles=torch.cat(rectangles) if kept else torch.empty(0, 4, dtype=torch.int64),
            canvas=kept[0].canvas if kept else (0, 0),
        ),
        input_ids=[sample.input_ids for sample in kept],
        labels=[sample.labels for sample in kept],
        samples=[sample.facts for sample in kept],
        skipped=skipped,
    )
