"""What all data modules share: loaders over records with clips, in the form that the model at hand asks for."""

from __future__ import annotations

import gc
import logging
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import DataLoader

from components.encoders.base import VideoEncoder
from components.language_models.text import ChatText
from components.teachers import Teacher
from datamodules.batch import Batch
from datamodules.checking.media_facts import MediaFacts, NoManifest
from datamodules.clip_dataset import ClipDataset, Sample, collate
from datamodules.evaluation_order import EvaluationBatches
from datamodules.records import AllRecords, RecordSelection, RecordTable
from datamodules.seeded_order import SeededOrder
from datamodules.video.augmentation import Augmentation, NoAugmentation
from datamodules.video.frame_cache import FrameCache
from datamodules.video.geometry import CanvasGeometry
from datamodules.video.media_policy import MediaPolicy, SkipCounter, Skipped
from datamodules.video.open import DamagedVideo
from datamodules.video.sampling import FrameSampler
from datamodules.video.shown_frames import ShownFrames

log = logging.getLogger(__name__)


class VideoTextDataModule(LightningDataModule, ABC):
    """Loaders over records with clips: the base of every data module.

    Attributes:
        media_root: folder that clips lie in, and are named relative to in manifests.
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
        augmentation: Callable[[], Augmentation] = NoAugmentation,
        batch_size: int = 8,
        eval_batch_size: int = 8,
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        """Keep the settings; data are made or read in `prepare_data` and `setup`.

        Args:
            canvas: side of the square canvas in pixels; a multiple of the encoder's patch size times its stride.
            sampler: which frames of a clip are taken.
            shown_frames: what the model sees of them: the clip, or a control such as NoiseFrames.
            frame_cache: whether fitted frames are kept for the next epoch, or on disk for the next run too.
            bad_media: what happens to a clip that cannot be read.
            damaged: what happens to a clip of which only the beginning can be decoded.
            manifest: what is known of the clips; `Manifest` takes it from check-data, and refuses other clips.
            train_records: which of the training records are learnt from.
            augmentation: random changes of the clips that are learnt from.
            batch_size: training samples per step and device.
            eval_batch_size: samples per step of validation, test and prediction.
            workers: loader processes; 0 reads in the main process.
            seed: seed of the order of samples; follows `seed_everything`.
        """
        super().__init__()
        for name, value, least in (
            ("canvas", canvas, 1),
            ("batch_size", batch_size, 1),
            ("eval_batch_size", eval_batch_size, 1),
            ("workers", workers, 0),
        ):
            if value < least:
                raise ValueError(f"data.init_args.{name} is {value}; it must be at least {least}")
        self.canvas = canvas
        self.sampler = sampler
        self.shown_frames = shown_frames
        self.frame_cache = frame_cache
        self.bad_media = bad_media
        self.damaged = damaged
        self.manifest = manifest()
        self.train_records = train_records()
        self.augmentation = augmentation()
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.workers = workers
        self.seed = seed
        self.skips = SkipCounter(bad_media)
        self.order: SeededOrder | None = None
        self.answered: frozenset[str] = frozenset()
        self._records: dict[str, RecordTable] = {}
        self._stand_in: dict[str, Batch] = {}

    @abstractmethod
    def load_records(self, split: str) -> RecordTable:
        """Return the records of `train` (one per conversation) or of `val` or `test` (one per question)."""

    def count_training_records(self) -> int:
        """Return how many records there are to learn from, before `train_records` chooses; no clip is made for it."""
        return len(self.load_records("train"))

    def connect(self, encoder: VideoEncoder, text: ChatText, teacher: Teacher | None = None) -> None:
        """Take from the model what data need to know of it: patch unit, padding colour, tokenizer and prompt.

        Called by the model before any loader is made.

        Args:
            encoder: whose tokens a clip becomes.
            text: tokenizer and prompt.
            teacher: who sees the training clips too; None if nobody does.

        Raises:
            ValueError: the canvas does not suit the encoder.
        """
        if encoder.canvas not in (None, self.canvas):
            raise ValueError(
                f"data.init_args.canvas is {self.canvas}, but {type(encoder).__name__} takes {encoder.canvas} only "
                "(image_size of its tower)"
            )
        geometry = CanvasGeometry(self.canvas, encoder.patch_size, encoder.stride, _colour(encoder.pixel_mean))
        self._geometries = [geometry]
        if teacher is not None:
            # Where the teacher has a whole number of patches per token, valid areas agree to the patch.
            tokens, patches = self.canvas // (encoder.patch_size * encoder.stride), teacher.grid[0]
            stride = patches // tokens if patches % tokens == 0 else 1
            fill = _colour(teacher.pixel_mean)
            self._geometries.append(CanvasGeometry(teacher.canvas, teacher.patch_size, stride, fill))
        self.text = text

    def records(self, split: str) -> RecordTable:
        """Return the records of a split, loaded once.

        Raises:
            ValueError: the split is empty, or its clips are not those of the manifest.
        """
        if split not in self._records:
            records = self.load_records(split)
            if not records:
                raise ValueError(f"the {split} split of {type(self).__name__} has no records")
            self.manifest.check((record.video for record in records), self.media_root)
            if split == "train":
                chosen = records.select(self.train_records.indices(len(records)))
                if len(chosen) < len(records):
                    log.info("learning from %d of %d records", len(chosen), len(records))
                records = chosen
            self._records[split] = records
        return self._records[split]

    def families(self, split: str) -> list[str]:
        """Return the question families that scores of `split` are reported for."""
        return sorted({record.family for record in self.records(split)})

    def question_counts(self, split: str) -> dict[str, dict[str, int]]:
        """Return benchmark -> family -> number of all its questions, asked or not; empty where accuracy is not given.

        Scores are then given per benchmark too, over all questions and over those that were answered.
        """
        return {}

    def dataset(self, split: str) -> ClipDataset:
        """Return the samples of a split; `connect` must have been called."""
        return ClipDataset(
            self.records(split),
            self.sampler,
            self._geometries if split == "train" else self._geometries[:1],
            self.text,
            self.bad_media if split == "train" else self.bad_media.at_evaluation(),
            self.damaged,
            self.manifest,
            self.shown_frames,
            self.frame_cache,
            self.augmentation if split == "train" or self.augmentation.at_evaluation else NoAugmentation(),
            self.seed,
        )

    def _loader(self, split: str, **order: Any) -> DataLoader[Sample | Skipped]:
        dataset = self.dataset(split)
        self.skips.expect(self.records(split).clip_count())
        return DataLoader(
            dataset,
            **order,
            collate_fn=collate,
            num_workers=self.workers,
            worker_init_fn=start_worker,
            # Of its own, or every new epoch would move the global generator that dropout draws from.
            generator=torch.Generator().manual_seed(self.seed),
            persistent_workers=self.workers > 0,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
        )

    def train_dataloader(self) -> DataLoader[Sample | Skipped]:
        """Return the training loader, in a seeded order that can go on in mid-epoch."""
        resumed = self.order
        self.order = SeededOrder(len(self.records("train")), self.seed, *self._place())
        if resumed is not None:
            self.order.resume(resumed.skip_epoch, resumed.skip)
        return self._loader("train", batch_size=self.batch_size, sampler=self.order)

    def stand_in(self, split: str) -> Batch:
        """Return a batch of the first sample of `split` whose clip can be read.

        It is what a process of several computes with when it has no batch, or cannot read any clip of its own.

        Raises:
            ValueError: there is no such clip.
        """
        if split not in self._stand_in:
            dataset = self.dataset(split)
            samples = (dataset[index] for index in range(len(dataset)))
            first = next((sample for sample in samples if isinstance(sample, Sample)), None)
            if first is None:
                raise ValueError(f"none of the {len(dataset)} samples of {split} has a clip that can be read")
            self._stand_in[split] = collate([first])
        return self._stand_in[split]

    def val_dataloader(self) -> DataLoader[Sample | Skipped]:
        """Return the validation loader, in the order of the records."""
        return self._loader("val", batch_size=self.eval_batch_size)

    def test_dataloader(self) -> DataLoader[Sample | Skipped]:
        """Return the test loader: this process's share of the questions that are not in `answered`, clip by clip."""
        questions = EvaluationBatches(self.records("test"), self.eval_batch_size, *self._place(), self.answered)
        return self._loader("test", batch_sampler=questions)

    def _place(self) -> tuple[int, int]:
        """Return rank and number of processes."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def predict_dataloader(self) -> DataLoader[Sample | Skipped]:
        """Return the test loader: prediction answers its questions."""
        return self.test_dataloader()

    def state_dict(self) -> dict[str, int]:
        """Return how far the training epoch has come, for a resume in its middle, on as many devices or others."""
        assert self.trainer is not None
        loop = self.trainer.fit_loop
        # Between epochs, Lightning has the next one's number and still the last one's batches.
        under_way = loop.epoch_progress.current.ready > self.trainer.current_epoch
        done = loop.epoch_loop.batch_progress.current.completed if under_way else 0
        at_once = self.batch_size * self.trainer.world_size
        return {"epoch": self.trainer.current_epoch, "samples": done * at_once, "at_once": at_once}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Leave out the samples of the epoch that the interrupted run has seen.

        Raises:
            ValueError: this run counts the rest of the epoch in other batches.
        """
        assert self.trainer is not None
        at_once, before = self.batch_size * self.trainer.world_size, state_dict["at_once"]
        if self.trainer.state.fn == TrainerFn.FITTING and state_dict["samples"] and at_once != before:
            raise ValueError(
                f"the checkpoint stands in the middle of an epoch, of which the run had taken {before} samples at a "
                f"time, and this one takes data.init_args.batch_size x devices = {at_once}; set batch_size so that it "
                "takes as many"
            )
        # Some strategies restore a run after its loader has been made, and some before.
        self.order = self.order or SeededOrder(0, self.seed)
        self.order.resume(state_dict["epoch"], state_dict["samples"] // self.trainer.world_size)


def start_worker(worker: int) -> None:
    """Prepare a loader process.

    It outlives Ctrl-C and SIGTERM, which may go to all: its parent still has a step to finish. And it leaves alone what
    it has from its parent: to look for garbage there would make a copy of hundreds of MiB.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()


def _colour(share: tuple[float, float, float]) -> tuple[int, int, int]:
    red, green, blue = (int(255 * value) for value in share)
    return red, green, blue
