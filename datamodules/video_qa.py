"""Benchmarks of questions about videos, for `test`, `validate` and `predict`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from datamodules.benchmarks import Benchmark, LoadedBenchmark
from datamodules.records import RecordStore, RecordTable
from datamodules.records.media_root import located
from datamodules.video_text import VideoTextDataModule

log = logging.getLogger(__name__)


class VideoQA(VideoTextDataModule):
    """The questions of one or more benchmarks, asked one by one; there is no training data."""

    def __init__(
        self,
        benchmarks: Sequence[Benchmark] = (),
        root: str = "data/benchmarks",
        max_missing_share: float = 0.0,
        **settings: Any,
    ) -> None:
        """Set the benchmarks.

        Args:
            benchmarks: benchmarks to ask; every file of `configs/benchmarks` adds one.
            root: folder of the benchmarks, to which paths of question files and videos are relative.
            max_missing_share: share of a benchmark's videos, 0 to 1, that may be missing. Questions about missing
                videos count as not answered.
            settings: settings of every data module, see VideoTextDataModule.

        Raises:
            ValueError: the share is outside that range, or two benchmarks have the same name.
        """
        super().__init__(**settings)
        if not 0 <= max_missing_share <= 1:
            raise ValueError(f"data.init_args.max_missing_share is {max_missing_share}; it must be in 0..1")
        names = [benchmark.name for benchmark in benchmarks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"data.init_args.benchmarks has {', '.join(twice)} twice; names must be unique")
        self.benchmarks = benchmarks
        self.root = self.media_root = located(root, "data.init_args.root")
        self.max_missing_share = max_missing_share
        self._loaded: list[LoadedBenchmark] = []

    def setup(self, stage: str) -> None:
        """Load all questions, so that errors in them are reported before the first one is asked.

        Raises:
            ValueError: `stage` is `fit`, or the questions cannot be used.
        """
        self.records("train" if stage == "fit" else "test")

    def loaded(self) -> list[LoadedBenchmark]:
        """Return the benchmarks with their questions, loaded once; warnings about them are logged.

        Raises:
            ValueError: no benchmark is set, one cannot be used, or too many of its videos are missing.
        """
        if not self.benchmarks:
            raise ValueError(
                "data.init_args.benchmarks is empty; name one or more, such as --config configs/benchmarks/msvd_qa.yaml"
            )
        if not self._loaded:
            loaded = [benchmark.load(self.root) for benchmark in self.benchmarks]
            for benchmark in loaded:
                missing = benchmark.check_missing(self.max_missing_share, self.root)
                for warning in filter(None, [*benchmark.warnings, missing]):
                    rank_zero_only(log.warning)(warning)
            self._loaded = loaded
        return self._loaded

    def load_records(self, split: str) -> RecordTable:
        """Return the questions whose clip exists, the same for `val` and `test`.

        Raises:
            ValueError: the split is `train`, or `loaded` raises it.
        """
        if split == "train":
            raise ValueError(
                "VideoQA has questions to ask and none to learn from; for `fit`, name training data, such as --config"
                " configs/data/real_clips.yaml, and ask these with `test --ckpt_path` afterwards"
            )
        return RecordTable(RecordStore(record for benchmark in self.loaded() for record in benchmark.records))

    def benchmarks_asked(self) -> Sequence[LoadedBenchmark]:
        """Return the benchmarks with their questions."""
        return self.loaded()

    def question_files(self, split: str) -> Sequence[Path]:
        """Return the question files of all benchmarks."""
        return [self.root / file for benchmark in self.benchmarks for file in benchmark.questions.files]
