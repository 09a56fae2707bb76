"""The default data module: generated clips, so that every experiment runs on any machine without a download."""

from __future__ import annotations

import math
import os
from typing import Any

from components.positive import check_positive
from datamodules.records import RecordStore, RecordTable
from datamodules.records.media_root import located
from datamodules.shapes_in_motion.answers import FAMILIES
from datamodules.shapes_in_motion.questions import question_records, training_records
from datamodules.shapes_in_motion.settings import SceneSettings
from datamodules.video_text import VideoTextDataModule

SPLIT_FOLDERS = {"val": "validation", "test": "test"}


class ShapesInMotion(VideoTextDataModule):
    """Questions about generated clips, in question families that test different parts of an encoder."""

    def __init__(
        self,
        root: str = "data/shapes_in_motion",
        train_clips: int = 6000,
        turns_per_record: int = 9,
        val_questions_per_family: int = 32,
        test_questions_per_family: int = 200,
        scene: SceneSettings = SceneSettings(),  # noqa: B008  (frozen)
        clips_seed: int = 0,
        **settings: Any,
    ) -> None:
        """Check the settings; missing clips are generated in `prepare_data`.

        Args:
            root: folder of the generated clips, with one subfolder for each combination of settings.
            train_clips: number of training clips; each has one question of every family.
            turns_per_record: number of questions in one training record; a clip is used in as many records as needed.
            val_questions_per_family: number of validation questions per family; also the number of validation clips.
            test_questions_per_family: number of test questions per family; also the number of test clips.
            scene: appearance and difficulty of the clips.
            clips_seed: seed of the clips, separate from `seed`, so that runs with different seeds share their data.
            settings: settings of every data module, see VideoTextDataModule.

        Raises:
            ValueError: there would be no clip or no question.
        """
        super().__init__(**settings)
        check_positive(
            "data.init_args",
            train_clips=train_clips,
            turns_per_record=turns_per_record,
            val_questions_per_family=val_questions_per_family,
            test_questions_per_family=test_questions_per_family,
        )
        self.root = self.media_root = located(root, "data.init_args.root")
        self.train_clips = train_clips
        self.turns_per_record = turns_per_record
        self.questions_per_family = {"val": val_questions_per_family, "test": test_questions_per_family}
        self.scene = scene
        self.clips_seed = clips_seed

    def prepare_data(self) -> None:
        """Generate the missing clips of all splits."""
        for split in ("train", "val", "test"):
            self.records(split)

    def count_training_records(self) -> int:
        """Return the number of training records that the clips give."""
        return self.train_clips * math.ceil(len(FAMILIES) / self.turns_per_record)

    def load_records(self, split: str) -> RecordTable:
        """Return the records of `split`; missing clips are generated."""
        workers = min(os.cpu_count() or 1, 8)
        if split == "train":
            records = training_records(
                self.root, self.train_clips, self.turns_per_record, self.scene, self.clips_seed, workers
            )
        else:
            count = self.questions_per_family[split]
            records = question_records(self.root, SPLIT_FOLDERS[split], count, self.scene, self.clips_seed, workers)
        return RecordTable(RecordStore(records))
