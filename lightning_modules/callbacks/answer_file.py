"""Writes every generated answer of a test or prediction as JSON lines keyed by question id, batch by batch."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from datamodules.printable import say
from lightning_modules.runs.folder import run_folder
from lightning_modules.scoring.answer_store import AnswerStore
from lightning_modules.scoring.evaluation import Answer
from lightning_modules.video_language import VideoLanguageModel

log = logging.getLogger(__name__)


class AnswerFile(Callback):
    """Appends the answers of every batch to `answers/<split>.jsonl`.

    A line has id, video, family, question, reference and prediction, whether the prediction is an answer at all, and
    whether it is right; in a test with known possible answers also the log-likelihood of the right one; and the aspects
    for a judge, if there are any.

    When a killed run is continued, its data leave out the questions already answered, and scores include their answers.
    Of several processes, each writes a file of its own until the end.
    """

    def __init__(self, answer_settings: dict[str, Any], must_continue: bool, can_continue: bool) -> None:
        """Store facts about the command.

        Args:
            answer_settings: configuration that the answers depend on: model, data, checkpoint.
            must_continue: whether answers by another model are an error instead of being put aside.
            can_continue: whether the command can continue a killed run, as those of test and prediction can.
        """
        self.answer_settings = answer_settings
        self.must_continue = must_continue
        self.can_continue = can_continue
        self.store: AnswerStore | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Read the earlier answers before data loaders are built.

        Raises:
            ValueError: answers that must be continued are by another model or about other data.
        """
        folder = run_folder(trainer)
        self.store = None
        if stage not in ("test", "predict") or folder is None:
            return
        assert isinstance(pl_module, VideoLanguageModel)
        self.store = AnswerStore.of_run(folder, TrainerFn(stage).value, trainer.global_rank)
        if trainer.is_global_zero:
            # A test after a training uses the trained weights, whatever the initial ones were.
            self.store.begin({**self.answer_settings, "steps": trainer.global_step}, self.must_continue)
        trainer.strategy.barrier("answers")
        pl_module.data.answered = frozenset(self.store.answered())
        if pl_module.data.answered:
            log.info("%d questions are answered already", len(pl_module.data.answered))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Print how to continue after Ctrl-C."""
        if self.store is None or not self.can_continue or not trainer.is_global_zero:
            return
        if isinstance(exception, KeyboardInterrupt):
            folder = self.store.folder.parent
            say(f"\ninterrupted; the same command goes on with --continue_answers={folder}", file=sys.stderr)

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the earlier answers to the scores, on one process."""
        if self.store is None or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, VideoLanguageModel)
        for row in self.store.answered().values():
            pl_module.scores.add(row)

    def _write(self, answers: Sequence[Answer]) -> None:
        if self.store is not None:
            self.store.append(answer.row for answer in answers)

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Write the answers of a batch."""
        self._write(outputs["answers"])

    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Write the answers of a batch."""
        self._write(outputs or [])

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Join the answers of all processes into one file."""
        trainer.strategy.barrier("answered")
        if self.store is not None and trainer.is_global_zero:
            self.store.join()

    on_predict_end = on_test_end
