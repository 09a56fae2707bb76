"""The base of all data modules: loaders over records with clips, fitted to the model."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import DataLoader

from components.encoders.video_encoder import VideoEncoder
from components.language_models.text import ChatText
from components.teachers import NOTHING_KEPT, FeatureCache, Teacher
from datamodules.batch import Batch
from datamodules.batching import Batching, EpochPlace, EvaluationBatches, RandomBatches, SeededOrder, SharedBatches
from datamodules.benchmarks import LoadedBenchmark
from datamodules.checking.media_facts import MediaFacts, NoManifest
from datamodules.clip_dataset import ClipDataset, Sample, canvases, collate_loaded, stand_in
from datamodules.long_records import ErrorOnLongRecords, LongRecords
from datamodules.processes import start_worker
from datamodules.records import AllRecords, RecordSelection, RecordTable
from datamodules.sample_sizes import ClipShapes, sample_sizes
from datamodules.skips import SkipCounter
from datamodules.video.augmentation import Augmentation, NoAugmentation
from datamodules.video.frame_cache import FrameCache
from datamodules.video.geometry import CanvasGeometry, Fit, Pad
from datamodules.video.media_policy import MediaPolicy, Skipped
from datamodules.video.open import DamagedVideo
from datamodules.video.resizing import PillowBicubic, Resizing
from datamodules.video.sampling import FrameSampler
from datamodules.video.shown_frames import ShownFrames

log = logging.getLogger(__name__)


class VideoTextDataModule(LightningDataModule, ABC):
    """Loaders over records with clips: the base of every data module.

    Attributes:
        media_root: folder of the clips, to which paths in manifests are relative.
    """

    media_root = Path("/")

    def __init__(
        self,
        canvas: int,
        sampler: FrameSampler,
        shown_frames: ShownFrames,
        frame_cache: FrameCache,
        bad_media: MediaPolicy,
        damaged: DamagedVideo = DamagedVideo.REFUSE,
        manifest: Callable[[], MediaFacts] = NoManifest,
        train_records: Callable[[], RecordSelection] = AllRecords,
        resizing: Callable[[], Resizing] = PillowBicubic,
        fit: Callable[[], Fit] = Pad,
        augmentation: Callable[[], Augmentation] = NoAugmentation,
        batching: Callable[[], Batching] = RandomBatches,
        long_records: Callable[[], LongRecords] = ErrorOnLongRecords,
        batch_size: int = 8,
        eval_batch_size: int = 8,
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        """Check the settings; data are generated or read in `prepare_data` and `setup`.

        Args:
            canvas: side of the square canvas in pixels; a multiple of the encoder's patch size times its stride.
            sampler: choice of the frames of a clip.
            shown_frames: frames that the model sees: those of the clip, or a control such as NoiseFrames.
            frame_cache: cache of fitted frames: none, in memory for the next epoch, or on disk for other runs too.
            bad_media: what to do about clips that cannot be read.
            damaged: what to do with clips that can be decoded only in part.
            manifest: known facts about the clips; `Manifest` reads them from the result of check-data, and refuses
                other clips.
            train_records: selection of the training records that are used.
            resizing: method by which frames are resized to fit the canvas.
            fit: choice of the size of frames on the canvas: padded, stretched or cropped.
            augmentation: random changes of training clips.
            batching: division of training samples into batches.
            long_records: what to do about records that are too long for the language model.
            batch_size: number of training samples per step and device.
            eval_batch_size: number of samples per step and device in validation, test and prediction.
            workers: number of loader processes per device; 0 loads in the main process.
            seed: seed of the order of samples; follows `seed_everything` by default.
        """
        super().__init__()
        counts = {"canvas": canvas, "batch_size": batch_size, "eval_batch_size": eval_batch_size, "workers": workers}
        for name, value in counts.items():
            if value < (least := int(name != "workers")):
                raise ValueError(f"data.init_args.{name} is {value}; it must be at least {least}")
        self.canvas = canvas
        self.sampler = sampler
        self.shown_frames = shown_frames
        self.frame_cache = frame_cache
        self.bad_media = bad_media
        self.damaged = damaged
        self.manifest = manifest()
        self.train_records = train_records()
        self.resizing = resizing()
        self.fit = fit()
        self.augmentation = augmentation()
        self.batching = batching()
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.workers = workers
        self.seed = seed
        self.skips = SkipCounter(bad_media, long_records())
        self.order: SeededOrder | None = None
        self.answered: frozenset[str] = frozenset()
        self._records: dict[str, RecordTable] = {}
        self._stand_in: dict[str, Batch] = {}

    @abstractmethod
    def load_records(self, split: str) -> RecordTable:
        """Return the records of a split: of `train` one per conversation, of `val` and `test` one per question."""

    def count_training_records(self) -> int:
        """Return the number of training records before the selection by `train_records`; generates no clips."""
        return len(self.load_records("train"))

    def connect(
        self,
        encoder: VideoEncoder,
        text: ChatText,
        teacher: Teacher | None = None,
        feature_cache: FeatureCache = NOTHING_KEPT,
    ) -> None:
        """Take the facts about the model that the data depend on: patch size, padding colour, tokenizer and prompt.

        The model calls this before any loader is created.

        Args:
            encoder: encoder of the clips.
            text: tokenizer and prompt of the language model.
            teacher: teacher, which sees the training clips too; None without a teacher.
            feature_cache: cache of the teacher's features, which may be opened later.

        Raises:
            ValueError: the canvas does not suit the encoder.
        """
        self._geometries = canvases(self.canvas, encoder, teacher, self.resizing, self.fit)
        self.text = text
        self._feature_cache = feature_cache

    def clip_shapes(self) -> ClipShapes:
        """Return the shapes of clips on the canvas of the connected model."""
        return ClipShapes(self.manifest, self.sampler, self._geometries[0])

    def records(self, split: str) -> RecordTable:
        """Return the records of a split, loaded once.

        Raises:
            ValueError: the split is empty, or its clips differ from those in the manifest.
        """
        if split not in self._records:
            records = self.load_records(split)
            if not records:
                raise ValueError(f"the {split} split of {type(self).__name__} has no records")
            self.manifest.check(records.clips()[0], self.media_root)
            if split == "train":
                chosen = records.select(self.train_records.indices(len(records)))
                if len(chosen) < len(records):
                    log.info("learning from %d of %d records", len(chosen), len(records))
                records = chosen
            self._records[split] = records
        return self._records[split]

    def families(self, split: str) -> list[str]:
        """Return the question families for which scores of `split` are reported."""
        return sorted({record.family for record in self.records(split)})

    def question_counts(self) -> dict[str, dict[str, int]]:
        """Return the number of questions by benchmark and family, including those that are not asked.

        It is empty for data that are not benchmarks. For benchmarks, accuracy is reported over all questions and over
        the answered ones.
        """
        return {benchmark.description.name: benchmark.question_counts() for benchmark in self.benchmarks_asked()}

    def benchmarks_asked(self) -> Sequence[LoadedBenchmark]:
        """Return the benchmarks with their questions; none for other data."""
        return ()

    def question_files(self, split: str) -> Sequence[Path]:
        """Return the files from which the questions of `split` are read; none for generated data."""
        return ()

    def dataset(self, split: str, geometries: Sequence[CanvasGeometry] | None = None) -> ClipDataset:
        """Return the samples of a split, fitted to the canvases of the model or by other `geometries`.

        `connect` must have been called. The teacher sees training samples only.
        """
        return ClipDataset(
            self.records(split),
            self.sampler,
            geometries or (self._geometries if split == "train" else self._geometries[:1]),
            self.text,
            self.bad_media if split == "train" else self.bad_media.at_evaluation(),
            self.damaged,
            self.manifest,
            self.shown_frames,
            self.frame_cache,
            self.augmentation if split == "train" or self.augmentation.at_evaluation else NoAugmentation(),
            self.seed,
            self._feature_cache,
        )

    def _loader(self, split: str, **order: Any) -> DataLoader[Sample | Skipped]:
        dataset = self.dataset(split)
        self.skips.expect(self.records(split).clip_count(), len(self.records(split)))
        return DataLoader(
            dataset,
            **order,
            collate_fn=collate_loaded,
            num_workers=self.workers,
            worker_init_fn=start_worker,
            # A separate generator, since otherwise every epoch would advance the global one, which dropout uses.
            generator=torch.Generator().manual_seed(self.seed),
            persistent_workers=self.workers > 0,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
        )

    def train_dataloader(self) -> DataLoader[Sample | Skipped]:
        """Return the training loader, with a seeded order that can be resumed within an epoch."""
        resumed, records, (rank, ranks) = self.order, self.records("train"), self._rank_and_size()
        sizes = cache(
            partial(sample_sizes, records, self.clip_shapes())
        )  # some kinds of batching need them every epoch
        arrange = partial(self.batching.arrange, sizes=sizes, at_once=self.batch_size * ranks)
        self.order = SeededOrder(len(records), self.seed, rank, ranks, arrange)
        if resumed is not None:
            self.order.resume(resumed.skip_epoch, resumed.skip)
        return self._loader("train", batch_size=self.batch_size, sampler=self.order)

    def stand_in(self, split: str) -> Batch:
        """Return a batch of one sample of `split`, for a process whose own batch is empty or has no clip."""
        if split not in self._stand_in:
            self._stand_in[split] = stand_in(self.dataset(split), self.records(split), split)
        return self._stand_in[split]

    def val_dataloader(self) -> DataLoader[Sample | Skipped]:
        """Return the validation loader of this process, in the order of the records."""
        order = range(len(self.records("val")))
        return self._loader("val", batch_sampler=SharedBatches(order, self.eval_batch_size, *self._rank_and_size()))

    def test_dataloader(self) -> DataLoader[Sample | Skipped]:
        """Return the test loader of this process over the questions that are not in `answered`, clip by clip."""
        questions = EvaluationBatches(self.records("test"), self.eval_batch_size, *self._rank_and_size(), self.answered)
        return self._loader("test", batch_sampler=questions)

    def _rank_and_size(self) -> tuple[int, int]:
        """Return the rank of this process and the number of processes."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def predict_dataloader(self) -> DataLoader[Sample | Skipped]:
        """Return the test loader: prediction answers its questions."""
        return self.test_dataloader()

    def state_dict(self) -> dict[str, Any]:
        """Return the progress within the training epoch, for a resume on the same or another number of devices."""
        assert self.trainer is not None
        loop = self.trainer.fit_loop
        # Between epochs, Lightning has the number of the next epoch but still the batches of the last one.
        in_progress = loop.epoch_progress.current.ready > self.trainer.current_epoch
        batches = loop.epoch_loop.batch_progress.current.completed if in_progress else 0
        samples = batches * self._at_once()
        return asdict(EpochPlace(self.trainer.current_epoch, samples, self._at_once(), self._order_description()))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Skip the samples of the epoch that the interrupted run has seen.

        Raises:
            ValueError: this run has another total batch size or another order of samples.
        """
        assert self.trainer is not None
        place = EpochPlace.of(state_dict)
        if self.trainer.state.fn == TrainerFn.FITTING:
            place.check_same_epoch(self._at_once(), self._order_description())
        # Some strategies restore a run after its loader has been created, and some before.
        self.order = self.order or SeededOrder(0, self.seed)
        self.order.resume(place.epoch, place.samples // self.trainer.world_size)

    def _at_once(self) -> int:
        assert self.trainer is not None
        return self.batch_size * self.trainer.world_size

    def _order_description(self) -> str:
        return f"{len(self.records('train'))} samples with seed {self.seed} in {self.batching}"
