"""One thread per test process: the tensors are tiny, and threads on a busy machine cost more than they bring."""

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def hear_control_c():
    """What a child process must do first, or it ignores Ctrl-C when these tests run as a background job."""
    return lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
