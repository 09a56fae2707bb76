"""How the processes of a training part."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from torch import distributed


@contextmanager
def process_group_closed() -> Iterator[None]:
    """Close the group of a CPU training, if one was made, while Python still runs.

    Lightning closes NCCL's and leaves gloo's to the interpreter's exit. There its threads meet an interpreter that is
    half gone, and some processes that have done all their work end in an abort.
    """
    try:
        yield
    finally:
        if distributed.is_available() and distributed.is_initialized() and distributed.get_backend() == "gloo":
            gc.collect()  # the model, wrapped for DDP and part of a cycle, holds the group too
            distributed.destroy_process_group()
