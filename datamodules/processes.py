"""Work in several processes that survives what clips and users do: a crash in a decoder, Ctrl-C, a killed parent."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from datamodules.printable import PrintableRecord

P = ParamSpec("P")
Item = TypeVar("Item")
Result = TypeVar("Result")
OUR_PACKAGES = tuple(
    Path(__file__).parents[1] / name for name in ("components", "datamodules", "lightning_modules", "ablation")
)


_NOTE = "raised by a package of this project, in another process"


@contextmanager
def worker_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool whose processes end with this one; on leaving, work that was begun is finished, and no more."""
    # Spawned, because a fork of a process with running threads or a device may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_start)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def submit_uninterrupted(
    pool: ProcessPoolExecutor, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs
) -> Future[Result]:
    """Hand out work; Ctrl-C then reaches this process only, since workers inherit the blocked signal."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_called, partial(function, *args, **kwargs))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _called(function: Callable[[], Result]) -> Result:
    try:
        return function()
    except Exception as error:
        keep_whose(error)
        raise


def results_of_processes(
    function: Callable[[Item], Result], items: Iterable[Item], processes: int
) -> Iterator[tuple[Item, Result | None]]:
    """Yield every item with its result, in the order in which they are done; None if a process died of the item.

    Args:
        function: of a module, not of a class or another function.
        items: what it is called with.
        processes: how many.
    """
    waiting = deque(items)
    while waiting:
        lost = []
        with worker_pool(processes) as pool:
            running: dict[Future[Result], Item] = {}
            try:
                while waiting or running:
                    while waiting and len(running) < 2 * processes:  # a few in advance keep all of them busy
                        future = submit_uninterrupted(pool, function, waiting[0])
                        running[future] = waiting.popleft()
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        result = future.result()
                        yield running.pop(future), result
            except BrokenProcessPool:
                lost = list(running.values())
        for item in lost:  # one of them is to blame; alone, it harms no other
            yield item, _alone(function, item)


def _alone(function: Callable[[Item], Result], item: Item) -> Result | None:
    with worker_pool(1) as pool:
        try:
            return submit_uninterrupted(pool, function, item).result()
        except BrokenProcessPool:
            return None


def _start() -> None:
    """Let the logs of a worker be printable, and let it leave when its parent is killed; it would wait forever."""
    logging.setLogRecordFactory(PrintableRecord)
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in a worker"

    def leave() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


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
