"""Finds the records that are too long for the language model before the first of them comes up."""

from __future__ import annotations

from collections.abc import Sequence

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from datamodules.record_lengths import TokenLimits, find_long_records
from lightning_modules.video_language import VideoLanguageModel

LOOKED_AT = 1000  # texts that are tokenised before the start, of each split: about a second


class RecordLengths(Callback):
    """Counts records that are too long for certain at the start of a run; the data's `long_records` decides on them.

    The longest texts are looked at, since all would take minutes. What is not found so, or depends on clips that no
    manifest knows, is found when its batch comes, and counted in the same way.

    Attributes:
        test_follows: whether a training ends with a test, whose questions are then looked at before the training too.
    """

    test_follows = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at what is learnt from, and at the questions of all validations."""
        validation = ["val"] if trainer.limit_val_batches else []
        self._look(pl_module, ["train", *validation, *(["test"] if self.test_follows else [])])

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the questions of a validation by itself."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._look(pl_module, ["val"])

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the questions of a test."""
        self._look(pl_module, ["test"])

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the questions of a prediction."""
        self._look(pl_module, ["test"])

    def _look(self, model: LightningModule, splits: Sequence[str]) -> None:
        assert isinstance(model, VideoLanguageModel)
        data, language_model = model.data, model.language_model
        limits = TokenLimits(language_model.text, language_model.max_length, model.max_new_tokens, model.encoder.layout)
        for split in splits:
            records = data.records(split)
            data.skips.expect(records.clip_count(), len(records))
            data.skips.count_long(
                find_long_records(records, data.clip_shapes(), limits, generated=split != "train", looked_at=LOOKED_AT)
            )
