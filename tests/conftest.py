"""One thread per test process: the tensors are tiny, and threads on a busy machine cost more than they bring."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

torch.set_num_threads(1)
