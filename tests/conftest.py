"""One thread per test process: the tensors are tiny, and threads on a busy machine cost more than they bring."""

import os
import resource
import signal
from contextlib import contextmanager

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from lightning_modules.training.devices import process_group_closed

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_process_group_left():
    """Leave to the next test, and the processes that it starts, no group and no address of one."""
    before = dict(os.environ)
    with process_group_closed():
        yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def hear_control_c():
    """What a child process must do first, or it ignores Ctrl-C when these tests run as a background job."""
    return lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def files_end_at():
    """Let no file of this process grow further than so many bytes: like on a disk that fills, half a write succeeds."""

    @contextmanager
    def limited(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
