"""How many threads of a CPU a run computes with."""

from __future__ import annotations

import os

import torch
from torch import nn

SMALL = 20_000_000  # parameters of a model whose operations take about as long as threads need to find each other


def use_threads(model: nn.Module, device: torch.device) -> str:
    """Have one thread for a small model on a CPU, where the user has not decided; return words about it, or none.

    A second thread gains 1.5 times at toy scale as long as nothing else runs. As soon as another process has one of the
    cores, every small operation waits for the thread that is not running, and a step takes 10 to 30 times as long.
    `OMP_NUM_THREADS` decides otherwise. A large model has all cores that the process may use, as torch gives them.
    """
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if device.type != "cpu" or "OMP_NUM_THREADS" in os.environ or parameters >= SMALL or torch.get_num_threads() == 1:
        return ""
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    return (
        f"computing with 1 thread instead of {cores}, as the model is small: several are slower as soon as another "
        "process wants a core; OMP_NUM_THREADS decides otherwise"
    )
