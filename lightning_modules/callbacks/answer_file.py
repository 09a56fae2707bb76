"""Every generated answer of a test or prediction, as JSON lines keyed by question id, written as they come."""

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
    """Appends to `answers/<split>.jsonl` after every batch: id, video, family, question, reference, prediction,
    whether it is an answer at all, and whether it is right; the log-likelihood of the right answer, in a test whose
    possible answers are known; and the aspects that a judge is to score, if there are any.

    What a killed run has answered is not asked again when its folder is continued: the data leave it out, and scores
    count it. Of several processes, each has a file of its own until the end.
    """

    def __init__(self, asked_by: dict[str, Any], must_continue: bool, can_continue: bool) -> None:
        """Take what is known of the command.

        Args:
            asked_by: what answers depend on, as the command line has it: model, data, checkpoint.
            must_continue: whether answers by another model are an error, and not put aside.
            can_continue: whether the command can go on with them, which that of a training cannot.
        """
        self.asked_by = asked_by
        self.must_continue = must_continue
        self.can_continue = can_continue
        self.store: AnswerStore | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find what has been answered, before loaders are made.

        Raises:
            ValueError: the answers to be continued are by another model or about other data.
        """
        folder = run_folder(trainer)
        self.store = None
        if stage not in ("test", "predict") or folder is None:
            return
        assert isinstance(pl_module, VideoLanguageModel)
        self.store = AnswerStore.of_run(folder, TrainerFn(stage).value, trainer.global_rank)
        if trainer.is_global_zero:
            # A training has its own weights, whichever they were when it began.
            self.store.begin({**self.asked_by, "steps": trainer.global_step}, self.must_continue)
        trainer.strategy.barrier("answers")
        pl_module.data.answered = frozenset(self.store.answered())
        if pl_module.data.answered:
            log.info("%d questions are answered already", len(pl_module.data.answered))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Say after Ctrl-C how to go on."""
        if self.store is None or not self.can_continue or not trainer.is_global_zero:
            return
        if isinstance(exception, KeyboardInterrupt):
            folder = self.store.folder.parent
            say(f"\ninterrupted; the same command goes on with --continue_answers={folder}", file=sys.stderr)

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the earlier answers, on one process."""
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
        """Put the answers of all processes into one file."""
        trainer.strategy.barrier("answered")
        if self.store is not None and trainer.is_global_zero:
            self.store.join()

    on_predict_end = on_test_end
