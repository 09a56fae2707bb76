"""Who worked in a run's folder, when, with what, and how it ended: one line at the beginning and one at the end."""

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
    """Appends to `history.jsonl`, on the first process; what was killed has a beginning and no end.

    If files differ from their commit, `uncommitted.diff` says how they did when the run began.
    """

    def __init__(self, origin: Origin) -> None:
        """Take what the run is made of."""
        self.origin = origin
        self.file: Path | None = None
        self.work = ""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Note the beginning of a training, test or other work; the test after a training is work of its own."""
        folder = run_folder(trainer)
        self.file, self.work = None, stage
        if folder is None or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, VideoLanguageModel)
        self.file = folder / HISTORY
        found = environment(trainer)
        diff = folder / DIFF
        if found["code"] and found["code"]["changed"] and not diff.exists():
            write_whole(diff, uncommitted(OWN_FILE))
        self._append(
            {
                "began": utc_now(),
                "work": self.work,
                "step": trainer.global_step,
                **self.origin.facts(),
                **started_by(),
                **found,
                "seed": pl_module.data.seed,
                "manifest_sha256": pl_module.data.manifest.sha256,
            }
        )

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Note a good end."""
        self._end(trainer, pl_module, "finished")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Note a bad end, and why."""
        stopped = isinstance(exception, KeyboardInterrupt | SystemExit)
        why = " ".join(str(exception).split())
        how = "interrupted" if stopped else f"failed: {type(exception).__name__}: {why}"
        self._end(trainer, pl_module, how)

    def _end(self, trainer: Trainer, module: LightningModule, how: str) -> None:
        assert isinstance(module, VideoLanguageModel)
        end = {"ended": utc_now(), "work": self.work, "step": trainer.global_step, "how": how}
        try:
            self._append({**end, "frozen_sha256": module.frozen_base.hashes()})
        except OSError as error:  # such as the full disk that the work ended by, which is what must be told
            log.warning("%s cannot be written: %s", self.file, error.strerror)
        self.file = None

    def _append(self, line: dict[str, Any]) -> None:
        if self.file is not None:
            append_lines(self.file, [line])
