"""Every generated answer of a test or prediction, as JSON lines keyed by question id."""

from __future__ import annotations

import json
from pathlib import Path

from lightning import Callback, LightningModule, Trainer

from lightning_modules.video_language import VideoLanguageModel


def answer_path(trainer: Trainer, split: str) -> Path:
    """Return the file of `split`'s answers in the run's folder."""
    return Path(trainer.log_dir or ".") / "answers" / f"{split}.jsonl"


class AnswerFile(Callback):
    """Writes `answers/<split>.jsonl`: id, family, question, reference, prediction, right."""

    def _write(self, trainer: Trainer, module: LightningModule, split: str) -> None:
        assert isinstance(module, VideoLanguageModel)
        if trainer.logger is None or trainer.log_dir is None:  # nothing is logged, or it is a `fast_dev_run`
            return
        path = answer_path(trainer, split)
        path = path.with_stem(f"{path.stem}_rank{trainer.global_rank}") if trainer.world_size > 1 else path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            for answer in module.answers:
                row = {
                    "id": answer.sample.id,
                    "family": answer.sample.family,
                    "question": answer.sample.question,
                    "reference": answer.sample.answer,
                    "prediction": answer.prediction,
                    "right": answer.right,
                }
                file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the answers of the test."""
        self._write(trainer, pl_module, "test")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the answers of the prediction."""
        self._write(trainer, pl_module, "predict")
