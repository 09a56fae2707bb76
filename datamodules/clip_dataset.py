"""Turns records into model input: reads the clip, samples frames, fits them to the canvas, and encodes the text."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import Dataset

from components.encoders.video_encoder import VideoEncoder, VideoShapes
from components.language_models.text import ChatText, EncodedText
from components.teachers import NOTHING_KEPT, FeatureCache, KnownFeatures, Teacher
from datamodules.batch import Batch, Failed, PackedClips, SampleFacts
from datamodules.checking.media_facts import MediaFacts
from datamodules.records import Record, RecordTable
from datamodules.video.augmentation import Augmentation
from datamodules.video.damage import DamagedVideo
from datamodules.video.frame_cache import FrameCache, Recipe, Views
from datamodules.video.geometry import CanvasGeometry, Fit, FittedClip
from datamodules.video.media_policy import MediaPolicy, Skipped
from datamodules.video.reader import VideoError
from datamodules.video.resizing import Resizing
from datamodules.video.sampling import FrameSampler
from datamodules.video.shown_frames import ShownFrames

log = logging.getLogger(__name__)

# Number of tokenised conversations kept for the next epoch, a few KiB each: a small data set is tokenised only once.
KEPT_TEXTS = 8192


@dataclass
class Sample:
    """One record, ready to be put into a batch.

    Attributes:
        views: view of the model, then that of the teacher if there is one; empty for a record without a clip.
        input_ids: token ids, with one placeholder for the clip.
        labels: target ids; -100 for tokens without loss.
        facts: facts about the sample.
        instead_of: samples with unreadable clips that this sample replaces.
        known: what the cache of the teacher's features knows of the clip.
    """

    views: Views
    input_ids: Int64[Tensor, text]
    labels: Int64[Tensor, text]
    facts: SampleFacts
    instead_of: list[Skipped] = field(default_factory=list)
    known: KnownFeatures = field(default_factory=KnownFeatures)


class ClipDataset(Dataset[Sample | Skipped]):
    """Records with their clips, which are decoded on access, in the same way for training and evaluation."""

    def __init__(
        self,
        records: Sequence[Record],
        sampler: FrameSampler,
        geometries: Sequence[CanvasGeometry],
        text: ChatText,
        bad_media: MediaPolicy,
        damaged: DamagedVideo,
        manifest: MediaFacts,
        shown_frames: ShownFrames,
        cache: FrameCache,
        augmentation: Augmentation,
        seed: int,
        feature_cache: FeatureCache = NOTHING_KEPT,
    ) -> None:
        """Set the parts; no clip is opened yet.

        Args:
            records: records of the samples.
            sampler: choice of the frames of a clip.
            geometries: how frames are fitted to the model's canvas, then to the teacher's if there is a teacher.
            text: tokenizer and prompt of the language model.
            bad_media: what to do about clips that cannot be read.
            damaged: what to do with clips that can be decoded only in part.
            manifest: known facts about the clips.
            shown_frames: change of the frames before the model sees them.
            cache: cache of fitted frames for the next epoch or the next run.
            augmentation: random changes of fitted frames.
            seed: seed of the augmentation.
            feature_cache: cache of the teacher's features, which is asked about the teacher's view.
        """
        self.records = records
        self.sampler = sampler
        self.geometries = geometries
        self.text = text
        self.bad_media = bad_media
        self.damaged = damaged
        self.manifest = manifest
        self.shown_frames = shown_frames
        self.cache = cache
        self.recipes = [Recipe(sampler, damaged, geometry) for geometry in geometries]
        self.augmentation = augmentation
        self.seed = seed
        self.feature_cache = feature_cache
        self._texts: dict[int, EncodedText] = {}

    def __len__(self) -> int:
        return len(self.records)

    def __getitems__(self, indices: Sequence[int]) -> list[Sample | Skipped] | Failed:
        """Return the samples of a batch, or the error of a loader process; the loader calls this for every batch."""
        try:
            return [self[index] for index in indices]
        except (OSError, ValueError) as error:
            return Failed.of(error)

    def __getitem__(self, index: int) -> Sample | Skipped:
        epoch, index = divmod(index, len(self.records))  # see SeededOrder
        sample = self._sample(index, epoch)
        if isinstance(sample, Sample):
            return sample
        failed = [sample]
        for other in self.bad_media.substitutes(sample.record_id, len(self.records)):
            substitute = self._sample(other, epoch)
            if isinstance(substitute, Sample):
                substitute.instead_of = [replace(skip, substitute=substitute.facts.id) for skip in failed]
                return substitute
            failed.append(substitute)
        return sample

    def _sample(self, index: int, epoch: int) -> Sample | Skipped:
        record = self.records[index]
        try:
            views = () if record.video is None else self._views(record.video)
        except VideoError as error:
            # An exception in a worker process would lose its type and message on the way to the main process.
            return Skipped(record_id=record.id, video=str(record.video), reason=str(error))
        turns = [(turn.question, turn.answer) for turn in record.turns]
        encoded = self._texts.get(index) or self.text.encode(turns, with_clip=record.video is not None)
        if len(self._texts) < KEPT_TEXTS:
            self._texts[index] = encoded
        views = self.augmentation(self._shown(views, record), f"{self.seed} {epoch} {record.id}")
        return Sample(
            views=views,
            input_ids=encoded.input_ids,
            labels=encoded.labels,
            facts=SampleFacts(
                record.id,
                str(record.video or ""),
                record.family,
                tuple(turns[:-1]),
                *turns[-1],
                record.answer_kind,
                record.where,
            ),
            known=KnownFeatures.joined([self.feature_cache.look_up(view.frames) for view in views[1:]]),
        )

    def _shown(self, views: Views, record: Record) -> Views:
        # The teacher must not see what is hidden from the model.
        return tuple(replace(view, frames=self.shown_frames(view.frames, record.id)) for view in views)

    def _views(self, video: Path) -> Views:
        return self.cache.get(video, self.recipes, self.manifest.content, lambda: self._read(video))

    def _read(self, video: Path) -> Views:
        with self.manifest.open(video, self.damaged) as reader:
            frames = reader.frames(self.sampler.indices(len(reader), reader.fps, reader.times))
        return tuple(geometry(frames) for geometry in self.geometries)


def stand_in(dataset: ClipDataset, records: RecordTable, split: str) -> Batch:
    """Return a batch of one sample with a readable clip: the one with the shortest text, which fits into memory.

    Raises:
        ValueError: no clip can be read.
    """
    order = records.text_bytes().argsort(kind="stable")
    with_clip = order[records.clips()[1][order] >= 0].tolist()
    samples = (dataset[index] for index in with_clip)
    first = next((sample for sample in samples if isinstance(sample, Sample) and sample.views), None)
    if first is None:
        raise ValueError(
            f"none of the {len(dataset)} samples of {split} has a clip that can be read; it needs one, since the "
            "encoder takes part in every step, also where a batch is text alone"
        )
    return collate([first])


def collate_loaded(samples: Sequence[Sample | Skipped] | Failed) -> Batch | Failed:
    """Put samples into a batch, or pass on the error of a loader process."""
    return samples if isinstance(samples, Failed) else collate(samples)


def collate(samples: Sequence[Sample | Skipped]) -> Batch:
    """Put samples into a batch."""
    kept = [sample for sample in samples if isinstance(sample, Sample)]
    skipped = [skip for sample in samples for skip in (sample.instead_of if isinstance(sample, Sample) else [sample])]
    clips = [sample.views for sample in kept if sample.views]
    packed = [_pack(views) for views in zip(*clips, strict=True)] or [_pack([])]
    return Batch(
        clips=packed[0],
        teacher_clips=packed[1] if len(packed) > 1 else None,
        input_ids=[sample.input_ids for sample in kept],
        labels=[sample.labels for sample in kept],
        samples=[sample.facts for sample in kept],
        skipped=skipped,
        known=KnownFeatures.joined([sample.known for sample in kept if sample.views]),
    )


def _pack(clips: Sequence[FittedClip]) -> PackedClips:
    """Concatenate clips on canvases of one size; they may differ in frame count and valid area."""
    counts = [len(clip.frames) for clip in clips]
    rectangles = [clip.rectangle.expand(count, 4) for clip, count in zip(clips, counts, strict=True)]
    return PackedClips(
        frames=torch.cat([clip.frames for clip in clips]) if clips else torch.empty(0, 3, 0, 0, dtype=torch.uint8),
        shapes=VideoShapes(
            frame_counts=torch.tensor(counts, dtype=torch.int64),
            rectangles=torch.cat(rectangles) if clips else torch.empty(0, 4, dtype=torch.int64),
            canvas=clips[0].canvas if clips else (0, 0),
        ),
    )


def canvases(
    canvas: int, encoder: VideoEncoder, teacher: Teacher | None, resizing: Resizing, fit: Fit
) -> list[CanvasGeometry]:
    """Return the geometries of the model's canvas and, if there is a teacher, of the teacher's.

    Args:
        canvas: side of the model's canvas in pixels.
        encoder: encoder, which determines the patch size, the patches per token and the padding colour.
        teacher: teacher, which determines the same for its canvas and the size of the canvas; None without a teacher.
        resizing: method by which pictures are resized for both.
        fit: choice of the new size for both.

    Raises:
        ValueError: a canvas does not suit the encoder or the teacher.
    """
    if encoder.canvas not in (None, canvas):
        raise ValueError(
            f"data.init_args.canvas is {canvas}, but {type(encoder).__name__} takes {encoder.canvas} only "
            "(image_size of its tower)"
        )
    fill = _colour(encoder.pixel_mean)
    geometries = [CanvasGeometry(canvas, encoder.patch_size, encoder.stride, fill, resizing, fit)]
    if teacher is not None:
        # If the teacher has a whole number of patches per token, both valid areas cover the same tokens exactly.
        tokens, patches = canvas // (encoder.patch_size * encoder.stride), teacher.grid[0]
        stride = patches // tokens if patches % tokens == 0 else 1
        fill = _colour(teacher.pixel_mean)
        geometries.append(CanvasGeometry(teacher.canvas, teacher.patch_size, stride, fill, resizing, fit))
    return geometries


def _colour(share: tuple[float, float, float]) -> tuple[int, int, int]:
    red, green, blue = (int(255 * value) for value in share)
    return red, green, blue
