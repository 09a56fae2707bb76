"""What a test on benchmarks could not ask, and how the benchmarks differ from what they should be."""

from __future__ import annotations

import json
from typing import Any

from lightning import Callback, LightningModule, Trainer

from components.whole_file import write_whole
from datamodules.video_qa import VideoQA
from lightning_modules.runs.folder import run_folder
from lightning_modules.video_language import VideoLanguageModel


class BenchmarkReport(Callback):
    """Writes `answers/<split>_benchmarks.json`, and the questions whose clip is missing to `..._unanswered.jsonl`."""

    def _write(self, trainer: Trainer, module: LightningModule, split: str) -> None:
        assert isinstance(module, VideoLanguageModel)
        folder = run_folder(trainer)  # asked on every rank, or the others wait
        if folder is None or not isinstance(module.data, VideoQA):
            return
        if not trainer.is_global_zero:
            return
        loaded = module.data.loaded()
        answers = folder / "answers"
        report = json.dumps([benchmark.report() for benchmark in loaded], indent=2, ensure_ascii=False)
        write_whole(answers / f"{split}_benchmarks.json", report + "\n")
        rows: list[dict[str, Any]] = [
            {
                "id": record.id,
                "family": record.family,
                "question": record.turns[-1].question,
                "reference": record.turns[-1].answer,
                "video": str(record.video),
            }
            for benchmark in loaded
            for record in benchmark.unanswered
        ]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_whole(answers / f"{split}_unanswered.jsonl", lines)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what is to be known of a test."""
        self._write(trainer, pl_module, "test")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what is to be known of a prediction."""
        self._write(trainer, pl_module, "predict")
