"""What a loader process does before it loads anything; and whose an error is."""

from __future__ import annotations

import gc
import logging
import signal
import traceback
from pathlib import Path

from datamodules.printable import PrintableRecord

OUR_PACKAGES = tuple(
    Path(__file__).parents[1] / name for name in ("components", "datamodules", "lightning_modules", "ablation")
)


_NOTE = "raised by a package of this project, in another process"


def start_worker(worker: int) -> None:
    """Prepare a loader process.

    It outlives Ctrl-C and SIGTERM, which may go to all: its parent still has a step to finish. And it leaves alone what
    it has from its parent: to look for garbage there would make a copy of hundreds of MiB.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logging.setLogRecordFactory(PrintableRecord)
    gc.freeze()


def raised_by_us(error: BaseException) -> bool:
    """Whether an error was raised by a package of this project, and not by one that it uses."""
    if _NOTE in getattr(error, "__notes__", ()):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and any(Path(frames[-1].filename).is_relative_to(package) for package in OUR_PACKAGES)


def keep_whose(error: BaseException) -> None:
    """Note on an error that comes to another process whether we raised it; its frames do not come along."""
    if raised_by_us(error):
        error.add_note(_NOTE)
