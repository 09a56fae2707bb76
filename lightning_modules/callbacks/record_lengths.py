"""Finds the records that are too long for the language model at the start of a run."""

from __future__ import annotations

from collections.abc import Sequence

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from datamodules.record_lengths import TokenLimits, find_long_records
from lightning_modules.video_language import VideoLanguageModel

LOOKED_AT = 1000  # texts of each split that are tokenised at the start, which takes about a second


class RecordLengths(Callback):
    """Counts records that are certainly too long at the start of a run; the data's `long_records` decides about them.

    Only the longest texts are tokenised, since all would take minutes. Other long records, such as those of clips that
    are not in a manifest, are found when their batch is prepared, and counted in the same way.
    """

    def __init__(self, test_follows: bool) -> None:
        """Store whether a training ends with a test, whose questions are then also checked before the training."""
        self.test_follows = test_follows

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the training records, and the questions of validations and of a test that follows."""
        validation = ["val"] if trainer.limit_val_batches else []
        self._count_long(pl_module, ["train", *validation, *(["test"] if self.test_follows else [])])

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the questions of a `validate` run."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._count_long(pl_module, ["val"])

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the questions of a test."""
        self._count_long(pl_module, ["test"])

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the questions of a prediction."""
        self._count_long(pl_module, ["test"])

    def _count_long(self, model: LightningModule, splits: Sequence[str]) -> None:
        assert isinstance(model, VideoLanguageModel)
        data, language_model = model.data, model.language_model
        limits = TokenLimits(language_model.text, language_model.max_length, model.max_new_tokens, model.encoder.layout)
        for split in splits:
            records = data.records(split)
            data.skips.expect(records.clip_count(), len(records))
            data.skips.count_long(
                find_long_records(records, data.clip_shapes(), limits, generated=split != "train", looked_at=LOOKED_AT)
            )
