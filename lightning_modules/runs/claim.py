"""Exclusive claims of run folders, so that two runs never mix their figures and answers."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from jsonargparse import Namespace
from lightning.pytorch.utilities import rank_zero_only

from components.files import remove_unfinished
from lightning_modules.runs.folder import ANSWERS, CHECKPOINTS, LOCK_FILE, free_folder, is_unused, resumed_folder
from lightning_modules.runs.lock import Lock, NoLocksError

log = logging.getLogger(__name__)

PATIENCE = 10.0  # seconds; data loaders of a killed run end within five, and hold the folder until then
A_MOMENT = 1.0  # seconds, in which another process may check whether the folder is free


@contextmanager
def claimed(config: Namespace, verb: str, answered: Path | None = None) -> Iterator[Path]:
    """Claim the folder of a run until it ends: its own folder if it resumes, otherwise the next free one.

    Of several processes, the first one claims it and tells the others its path. A `fast_dev_run` writes nothing and
    claims no folder.

    Args:
        config: configuration of the run.
        verb: subcommand, such as `fit`.
        answered: folder of a test or prediction that is continued.

    Raises:
        ValueError: another process works in the folder of a resumed run; the folder cannot be written; or the name of
            the run is not valid.
    """
    if config.trainer.default_root_dir is not None:
        raise ValueError("trainer.default_root_dir cannot be set: --runs and --name say where a run is")
    new = partial(free_folder, Path(config.runs), config.name, config.seed_everything, verb)
    resumed = resumed_folder(config.get("ckpt_path"), verb)
    own = resumed or answered
    if config.trainer.fast_dev_run or not _is_first_process():
        yield own or new()
        return
    if own is not None:
        folder, lock = own, _claim(own, "ckpt_path" if resumed else "continue_answers")
    else:
        folder, lock = _claim_free(new)
    try:
        for written in (folder, folder / CHECKPOINTS, folder / ANSWERS):
            remove_unfinished(written)  # left by an earlier process that was killed
        yield folder
    finally:
        _release(lock)


def _claim(folder: Path, key: str) -> Lock:
    lock = _take(folder, PATIENCE)
    if lock is None:
        process, host = (held := Lock(folder / LOCK_FILE)).holder()
        held.release()
        raise ValueError(f"{key}: process {process} on {host} is at work in {folder}; wait for it or stop it first")
    return lock


def _claim_free(new: Callable[[], Path]) -> tuple[Path, Lock]:
    while True:
        folder = new()
        lock = _take(folder, A_MOMENT)
        if lock is not None and is_unused(folder):
            return folder, lock
        if lock is not None:  # another run has used the folder in the meantime, and has ended
            _release(lock)


def _take(folder: Path, patience: float) -> Lock | None:
    """Return a held lock on a folder; None if another process holds it."""
    while True:
        lock = Lock(folder / LOCK_FILE)
        try:
            is_held = lock.take(patience)
        except NoLocksError as error:
            log.warning("%s; take care that no other run works in %s", error, folder)
            return lock
        if is_held and lock.is_in_place():
            return lock
        lock.release()
        if not is_held:
            return None


def _release(lock: Lock) -> None:
    """Remove the lock file, and the folder of a run that did not begin."""
    with suppress(OSError):
        lock.path.unlink()  # while it is held, so that a process that waits for it sees that the file is gone
    lock.release()
    with suppress(OSError):  # a folder with a run in it is not empty
        lock.path.parent.rmdir()
        lock.path.parent.parent.rmdir()


def _is_first_process() -> bool:
    """Whether this is the first process of a run, according to the environment, since there is no trainer yet."""
    machine = int(os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0")))
    return machine == 0 and getattr(rank_zero_only, "rank", 0) == 0
