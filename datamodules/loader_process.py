"""What a loader process does before it loads anything."""

import gc
import signal


def start_worker(worker: int) -> None:
    """Prepare a loader process.

    It outlives Ctrl-C and SIGTERM, which may go to all: its parent still has a step to finish. And it leaves alone what
    it has from its parent: to look for garbage there would make a copy of hundreds of MiB.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()
