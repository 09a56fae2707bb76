"""Writes the history of a run folder: a line when a training, test or other work begins, and one when it ends."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from components.files import append_lines, write_whole
from lightning_modules.runs.checkout import OWN_FILE, started_by, uncommitted, utc_now
from lightning_modules.runs.folder import DIFF, HISTORY, run_folder
from lightning_modules.runs.origin import Origin
from lightning_modules.training.provenance import environment
from lightning_modules.video_language import VideoLanguageModel

log = logging.getLogger(__name__)


class RunHistory(Callback):
    """Appends to `history.jsonl` on the first process; work that was killed has a beginning and no end.

    If code differs from its commit when the run begins, the difference is written to `uncommitted.diff`.
    """

    def __init__(self, origin: Origin) -> None:
        """Store the origin of the run."""
        self.origin = origin
        self.file: Path | None = None
        self.work = ""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Record the beginning of a training, test or other work; the test after a training is separate work."""
        folder = run_folder(trainer)
        self.file, self.work = None, stage
        if folder is None or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, VideoLanguageModel)
        self.file = folder / HISTORY
        facts = environment(trainer)
        diff = folder / DIFF
        if facts["code"] and facts["code"]["changed"] and not diff.exists():
            write_whole(diff, uncommitted(OWN_FILE))
        self._append(
            {
                "began": utc_now(),
                "work": self.work,
                "step": trainer.global_step,
                **self.origin.facts(),
                **started_by(),
                **facts,
                "seed": pl_module.data.seed,
                "manifest_sha256": pl_module.data.manifest.sha256,
            }
        )

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Record a successful end."""
        self._end(trainer, pl_module, "finished")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Record an interruption or a failure with its reason."""
        stopped = isinstance(exception, KeyboardInterrupt | SystemExit)
        why = " ".join(str(exception).split())
        how = "interrupted" if stopped else f"failed: {type(exception).__name__}: {why}"
        self._end(trainer, pl_module, how)

    def _end(self, trainer: Trainer, module: LightningModule, how: str) -> None:
        assert isinstance(module, VideoLanguageModel)
        end = {"ended": utc_now(), "work": self.work, "step": trainer.global_step, "how": how}
        try:
            self._append({**end, "frozen_sha256": module.frozen_base.hashes()})
        except OSError as error:  # must not hide the error that ended the work, such as a full disk
            log.warning("%s cannot be written: %s", self.file, error.strerror)
        self.file = None

    def _append(self, line: dict[str, Any]) -> None:
        if self.file is not None:
            append_lines(self.file, [line])
