"""Work in several processes that copes with a crash in a decoder, Ctrl-C, and a killed parent process."""

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
from typing import ParamSpec, TypeVar

from datamodules.printable import PrintableRecord

P = ParamSpec("P")
Item = TypeVar("Item")
Result = TypeVar("Result")
OUR_PACKAGES = ("components", "datamodules", "lightning_modules", "ablation", "video_panda")
_NOTE = "raised by a package of this project, in another process"


@contextmanager
def worker_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool whose processes end with this one; on exit, work in progress is finished and the rest cancelled."""
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
    """Submit work to a pool so that Ctrl-C reaches this process only: workers inherit the blocked signal."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_call, partial(function, *args, **kwargs))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _call(function: Callable[[], Result]) -> Result:
    try:
        return function()
    except Exception as error:
        _note_origin(error)
        raise


def results_of_processes(
    function: Callable[[Item], Result], items: Iterable[Item], processes: int
) -> Iterator[tuple[Item, Result | None]]:
    """Yield every item with its result, in order of completion; the result is None if the item crashed a process.

    Args:
        function: function at module level, which can be pickled.
        items: arguments of the calls.
        processes: number of processes.
    """
    waiting = deque(items)
    while waiting:
        lost = []
        with worker_pool(processes) as pool:
            running: dict[Future[Result], Item] = {}
            try:
                while waiting or running:
                    while waiting and len(running) < 2 * processes:  # a few in advance keep all processes busy
                        future = submit_uninterrupted(pool, function, waiting[0])
                        running[future] = waiting.popleft()
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        result = future.result()
                        yield running.pop(future), result
            except BrokenProcessPool:
                lost = list(running.values())
        for item in lost:  # one of these crashed the pool; run alone, it cannot affect the others
            yield item, _alone(function, item)


def _alone(function: Callable[[Item], Result], item: Item) -> Result | None:
    with worker_pool(1) as pool:
        try:
            return submit_uninterrupted(pool, function, item).result()
        except BrokenProcessPool:
            return None


def _start() -> None:
    """Prepare a worker: escape its log messages, and end it when its parent is killed, which it would wait for."""
    logging.setLogRecordFactory(PrintableRecord)
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in a worker"

    def leave() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


def start_worker(worker: int) -> None:
    """Prepare a loader process.

    It ignores Ctrl-C and SIGTERM, which may be sent to all processes, since its parent still has a step to finish. The
    garbage collector ignores objects of the parent: visiting them would copy hundreds of MiB.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logging.setLogRecordFactory(PrintableRecord)
    gc.freeze()


def raised_by_us(error: BaseException) -> bool:
    """Return whether an error was raised by a package of this project, and not by one that it uses."""
    if _NOTE in getattr(error, "__notes__", ()):
        return True
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and frames[-1].f_globals.get("__name__", "").split(".")[0] in OUR_PACKAGES


def _note_origin(error: BaseException) -> None:
    """Add a note to an error that we raised, since its traceback is lost on the way to another process."""
    if raised_by_us(error):
        error.add_note(_NOTE)
